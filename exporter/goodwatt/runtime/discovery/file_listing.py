"""Reads the target files of `server_discovery`: which files match, and which servers each one lists."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path

from goodwatt.config.errors import ConfigError, printable
from goodwatt.config.file_sd.targets import FileSdTarget, parse_targets
from goodwatt.settings.sources import DiscoverySection

LARGEST_TARGET_FILE_BYTES = 1024 * 1024

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TargetFile:
    """The latest version of a target file. `targets` are those of its last valid version."""

    stamp: Stamp | None
    targets: tuple[FileSdTarget, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetFileListing:
    """The files that match each pattern, and their content. A pattern that cannot be listed keeps its files."""

    files: Mapping[Path, TargetFile] = field(default_factory=dict)
    matched: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def read_target_files(patterns: Iterable[str], before: TargetFileListing) -> TargetFileListing:
    """Read every changed file and return the new listing. Blocks as long as the file system does."""
    matched, problems = {}, {}
    for pattern in dict.fromkeys(patterns):
        try:
            matched[pattern] = tuple(sorted(_paths(pattern)))
        except OSError as error:
            matched[pattern] = before.matched.get(pattern, ())
            problems[pattern] = f"{printable(pattern)}: {error.strerror}; its last known servers stay"
        if not matched[pattern] and pattern not in problems:
            problems[pattern] = f"no file matches {printable(pattern)}; it lists no servers until one exists"
    paths = dict.fromkeys(path for listed in matched.values() for path in listed)
    files = {path: file for path in paths if (file := _file(path, before.files.get(path))) is not None}
    return TargetFileListing(
        files, {p: tuple(path for path in listed if path in files) for p, listed in matched.items()}, problems
    )


def _paths(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    if "*" not in path.name:
        yield from [path] if path.exists() else []
        return
    wanted = re.compile(".*".join(map(re.escape, path.name.split("*"))), re.DOTALL)
    try:
        yield from (file for file in path.parent.iterdir() if wanted.fullmatch(file.name))
    except FileNotFoundError:
        return


def _file(path: Path, before: TargetFile | None) -> TargetFile | None:
    """Return the file's current state; None if it no longer exists."""
    known = () if before is None else before.targets
    stamp = None
    try:
        stamp = _stamp(path.stat())
        if before is not None and before.stamp == stamp:
            return before
        return TargetFile(stamp, parse_targets(_text(path), str(path)))
    except FileNotFoundError:
        return None
    except ConfigError as wrong:
        return TargetFile(stamp, known, tuple(map(str, wrong.errors)))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return TargetFile(stamp, known, (f"{printable(str(path), 4096)}: {why}",))


def _stamp(stat: stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("is not a regular file")
    with path.open("rb") as file:
        content = file.read(LARGEST_TARGET_FILE_BYTES + 1)
    if len(content) > LARGEST_TARGET_FILE_BYTES:
        raise ValueError("is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def target_file_problems(sections: Iterable[DiscoverySection]) -> tuple[str, ...]:
    """Return one line for each problem with the files of `server_discovery` now. Blocks."""
    listing = read_target_files(file_patterns(sections), TargetFileListing())
    return (*listing.problems.values(), *(problem for file in listing.files.values() for problem in file.problems))


def file_patterns(sections: Iterable[DiscoverySection]) -> list[str]:
    """Return every path and pattern of these sections, in their order."""
    return [pattern for section in sections for pattern in section.files]
