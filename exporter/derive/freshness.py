"""How sources fare, and what of theirs may still be shown."""

from collections.abc import Mapping

from exporter.model.snapshot import SourceState
from exporter.model.source import SourceResult, Unavailable


def server_source(server: str) -> str:
    """The `source` label of the server of this name."""
    return f"server/{server}"


def fold(before: SourceState | None, result: SourceResult, now: float) -> SourceState:
    """The state of a source after one more read."""
    outcome = result.outcome
    failures = {} if before is None else dict(before.failures)
    if not isinstance(outcome, Unavailable):
        return SourceState(result.source, True, 0, result.duration_seconds, now, None, "", failures)
    failures[outcome.reason] = failures.get(outcome.reason, 0) + 1
    return SourceState(
        result.source,
        False,
        1 if before is None else before.misses + 1,
        result.duration_seconds,
        None if before is None else before.last_success_seconds,
        outcome.reason,
        outcome.detail,
        failures,
    )


def is_fresh(states: Mapping[str, SourceState], source: str, missed_ticks: int) -> bool:
    """Whether a source has been read at all, and missed fewer ticks in a row than drop its series."""
    state = states.get(source)
    return state is not None and state.last_success_seconds is not None and state.misses < missed_ticks
