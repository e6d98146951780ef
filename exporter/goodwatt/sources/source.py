"""The interface of a source, as the sampler uses it."""

from typing import Protocol

from goodwatt.model.source import Reading, SourceId


class Source(Protocol):
    """Something that the sampler reads at every tick."""

    @property
    def id(self) -> SourceId:
        """Identifies the source in results, in the `source` label and in log lines."""
        ...

    @property
    def deadline_seconds(self) -> float:
        """Timeout of one read; the sampler cuts it to fit the interval."""
        ...

    async def read(self) -> Reading:
        """Return one reading. Raises SourceUnavailable if it fails; other exceptions are bugs and end the process."""
        ...

    async def aclose(self) -> None:
        """Release connections, threads and ports; takes a second at most."""
        ...
