"""What the sampler expects of a source."""

from typing import Protocol

from goodwatt.model.source import Reading, SourceId


class Source(Protocol):
    """Something that is read at every tick."""

    @property
    def id(self) -> SourceId:
        """Identifies the source in results, in the `source` label and in log lines."""
        ...

    @property
    def deadline_seconds(self) -> float:
        """How long one read may take."""
        ...

    async def read(self) -> Reading:
        """One reading. Raises SourceUnavailable when it cannot be had; anything else is a bug and ends the process."""
        ...

    async def aclose(self) -> None:
        """Let go of what the source holds; never blocks for long."""
        ...
