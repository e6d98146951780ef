"""Track the health of sources: up or down, misses in a row, failures by reason, and freshness."""

from collections.abc import Mapping
from dataclasses import replace

from goodwatt.derive.counters import add_counts
from goodwatt.model.request import RequestsReading
from goodwatt.model.snapshot import SourceState
from goodwatt.model.source import Reading, SourceId, SourceResult, Unavailable


def update_source_state(before: SourceState | None, result: SourceResult, now: float) -> SourceState:
    """Return the state of a source after one more read; `before` is None at its first."""
    state = before or SourceState(source=result.source, up=False, misses=0, duration_seconds=0.0)
    state = replace(state, duration_seconds=result.duration_seconds)
    if isinstance(result.outcome, Unavailable):
        return _failed(state, result.outcome)
    return _read(state, result.outcome, now)


def _failed(state: SourceState, why: Unavailable) -> SourceState:
    failures = add_counts(state.failures, {why.reason: 1})
    return replace(state, up=False, misses=state.misses + 1, reason=why.reason, detail=why.detail, failures=failures)


def _read(state: SourceState, reading: Reading, now: float) -> SourceState:
    dropped = add_counts(state.dropped, reading.dropped) if isinstance(reading, RequestsReading) else state.dropped
    state = replace(state, dropped=dropped, simulated=reading.simulated)
    return replace(state, up=True, misses=0, last_success_seconds=now, reason=None, detail="")


def is_fresh(states: Mapping[SourceId, SourceState], source: SourceId, missed_ticks: int) -> bool:
    """Whether a source was read at least once and has missed fewer than `missed_ticks` ticks in a row."""
    state = states.get(source)
    return state is not None and state.last_success_seconds is not None and state.misses < missed_ticks
