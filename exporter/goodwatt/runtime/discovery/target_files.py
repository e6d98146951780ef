"""Follows target files. The servers of a file's last valid version stay until a newer valid one or its removal."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from goodwatt.model.source import SourceUnavailable
from goodwatt.runtime.discovery.file_listing import TargetFile, TargetFileListing, file_patterns, read_target_files
from goodwatt.runtime.server_selection import Candidate
from goodwatt.settings.sources import DiscoverySection
from goodwatt.sources.lane import Lane

log = logging.getLogger(__name__)

FILES_TIMEOUT_SECONDS = 2.0


class TargetFiles:
    """Follows the files of `server_discovery`. Logs each problem once per version of a file."""

    def __init__(self, timeout_seconds: float = FILES_TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._lane = Lane("server_discovery")
        self._listing = TargetFileListing()
        self._hangs = False

    async def refresh(self, sections: Iterable[DiscoverySection]) -> bool:
        """Read the files that `sections` name, and return whether anything changed.

        Waits briefly for a file system that hangs, then keeps what is known.
        """
        patterns = file_patterns(sections)
        if not patterns:
            self._listing = TargetFileListing()
            return False
        try:
            async with asyncio.timeout(self._timeout_seconds):
                listing = await self._lane.call(partial(read_target_files, patterns, self._listing))
        except (TimeoutError, SourceUnavailable):
            if not self._hangs:
                log.warning("server_discovery: the file system does not respond; the last known servers stay")
            self._hangs = True
            return False
        before, self._listing, self._hangs = self._listing, listing, False
        _log_changes(before, listing)
        return listing != before

    def candidates(self, sections: Iterable[DiscoverySection]) -> Iterator[Candidate]:
        """Yield every listed server, in the order of the sections, their files and the files' lines."""
        for section in sections:
            for pattern in section.files:
                for path in self._listing.matched.get(pattern, ()):
                    for target in self._listing.files[path].targets:
                        yield Candidate(target.section(section), str(path))

    async def aclose(self) -> None:
        """Stop the thread that reads files."""
        await self._lane.aclose(lambda: None)


def _log_changes(before: TargetFileListing, now: TargetFileListing) -> None:
    for pattern, problem in now.problems.items():
        if before.problems.get(pattern) != problem:
            log.warning("server_discovery: %s", problem)
    for path, file in now.files.items():
        known = before.files.get(path)
        if file != known:
            _log_file(path, file, known)


def _log_file(path: Path, file: TargetFile, known: TargetFile | None) -> None:
    for problem in _shortened(file.problems):
        log.error("server_discovery: %s", problem)
    if file.problems:
        log.error(
            "server_discovery: %s is rejected; the %d servers of its last good version stay", path, len(file.targets)
        )
    elif known is not None and known.problems:
        log.info("server_discovery: %s is valid again", path)


def _shortened(problems: Sequence[str], limit: int = 10) -> Sequence[str]:
    return problems if len(problems) <= limit else [*problems[:limit], f"... and {len(problems) - limit} more"]
