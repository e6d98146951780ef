"""`goodwatt demo`: simulated GPUs and servers, read by the real sources."""

from collections.abc import Iterable

from goodwatt.demo.defaults import DEFAULT_SERVERS
from goodwatt.demo.faults import PlannedFault, planned_fault
from goodwatt.runtime.errors import UsageError


def faults(texts: Iterable[str]) -> tuple[PlannedFault, ...]:
    """Faults of the demo, from the flags. Raises WrongUse when one of them cannot be."""
    try:
        return tuple(planned_fault(text, [server.name for server in DEFAULT_SERVERS]) for text in texts)
    except ValueError as wrong:
        raise UsageError(f"--fault {wrong}") from None
