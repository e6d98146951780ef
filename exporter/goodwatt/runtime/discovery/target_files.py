"""Files that list servers, looked at again and again. What was good stays until there is a good version or no file."""

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os import stat_result
from pathlib import Path

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError, printable
from goodwatt.config.file_sd.targets import Target, parse_targets
from goodwatt.model.source import SourceUnavailable
from goodwatt.runtime.server_selection import Candidate
from goodwatt.sources.lane import Lane

log = logging.getLogger(__name__)

LARGEST_BYTES = 1024 * 1024
PATIENCE_SECONDS = 2.0

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class File:
    """The version of a file that was looked at last; `targets` are those of its last good version."""

    stamp: Stamp | None
    targets: tuple[Target, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """Which files a pattern stands for, and what is in each. A pattern that cannot be followed keeps its files."""

    files: Mapping[Path, File] = field(default_factory=dict)
    matched: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)


def look(patterns: Iterable[str], before: Listing) -> Listing:
    """Look at every file; those that have not changed are not opened. Blocks as long as the file system does."""
    matched, faults = {}, {}
    for pattern in dict.fromkeys(patterns):
        try:
            matched[pattern] = tuple(sorted(_paths(pattern)))
        except OSError as error:
            matched[pattern] = before.matched.get(pattern, ())
            faults[pattern] = f"{printable(pattern)}: {error.strerror}; what was known stays"
        if not matched[pattern] and pattern not in faults:
            faults[pattern] = f"no file is called {printable(pattern)}; it lists no server until there is one"
    paths = dict.fromkeys(path for listed in matched.values() for path in listed)
    files = {path: file for path in paths if (file := _file(path, before.files.get(path))) is not None}
    return Listing(files, {p: tuple(path for path in listed if path in files) for p, listed in matched.items()}, faults)


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


def _file(path: Path, before: File | None) -> File | None:
    """None for a file that is gone."""
    known = () if before is None else before.targets
    stamp = None
    try:
        stamp = _stamp(path.stat())
        if before is not None and before.stamp == stamp:
            return before
        return File(stamp, parse_targets(_text(path), str(path)))
    except FileNotFoundError:
        return None
    except ConfigError as wrong:
        return File(stamp, known, tuple(map(str, wrong.errors)))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return File(stamp, known, (f"{printable(str(path), 4096)}: {why}",))


def _stamp(stat: stat_result) -> Stamp:
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("is no regular file")
    with path.open("rb") as file:
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError("is larger than 1 MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def discovery_faults(config: Config) -> tuple[str, ...]:
    """One line for everything that is wrong with the files of a configuration now. Blocks."""
    listing = look(_patterns(config), Listing())
    return (*listing.faults.values(), *(fault for file in listing.files.values() for fault in file.faults))


def _patterns(config: Config) -> list[str]:
    return [pattern for section in config.server_discovery for pattern in section.files]


class TargetFiles:
    """The files of `server_discovery`, followed. Everything that is wrong is logged once a version of a file."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._lane = Lane("server_discovery")
        self._listing = Listing()
        self._hangs = False

    async def look(self, config: Config) -> bool:
        """Follow what the configuration names, and tell whether anything changed.

        A file system that hangs changes nothing and is waited for briefly.
        """
        patterns = _patterns(config)
        if not patterns:
            self._listing = Listing()
            return False
        try:
            async with asyncio.timeout(self._patience_seconds):
                listing = await self._lane.call(partial(look, patterns, self._listing))
        except (TimeoutError, SourceUnavailable):
            if not self._hangs:
                log.warning("server_discovery: the file system does not answer; what was known stays")
            self._hangs = True
            return False
        before, self._listing, self._hangs = self._listing, listing, False
        _tell(before, listing)
        return listing != before

    def candidates(self, config: Config) -> Iterator[Candidate]:
        """Every server listed, in the order of the sections, their files and the files' lines."""
        for section in config.server_discovery:
            for pattern in section.files:
                for path in self._listing.matched.get(pattern, ()):
                    for target in self._listing.files[path].targets:
                        yield Candidate(config.paced(target.section(section)), str(path))

    async def aclose(self) -> None:
        """End the thread that reads."""
        await self._lane.aclose(lambda: None)


def _tell(before: Listing, now: Listing) -> None:
    for pattern, fault in now.faults.items():
        if before.faults.get(pattern) != fault:
            log.warning("server_discovery: %s", fault)
    for path, file in now.files.items():
        known = before.files.get(path)
        if file != known:
            _tell_file(path, file, known)


def _tell_file(path: Path, file: File, known: File | None) -> None:
    for fault in _shortened(file.faults):
        log.error("server_discovery: %s", fault)
    if file.faults:
        log.error("server_discovery: %s is not used; %d servers of its last good version stay", path, len(file.targets))
    elif known is not None and known.faults:
        log.info("server_discovery: %s is good again", path)


def _shortened(faults: Sequence[str], limit: int = 10) -> Sequence[str]:
    return faults if len(faults) <= limit else [*faults[:limit], f"... and {len(faults) - limit} more"]
