"""Decides whether missing series mean that the engine restarted or that this page is incomplete.

A page may be truncated at the end of a line, and an agent may omit a series once. Treating that as a counter reset
would count the series' whole value again when it returns.
"""

from collections.abc import Mapping
from typing import TypeVar

from goodwatt.derive.counters import is_later
from goodwatt.model.engine import Absent, EngineReading, SeriesId, Signal
from goodwatt.model.histogram import Histogram

MAX_ABSENT_SERIES = 4096  # counters and histograms each; replicas come and go

_Value = TypeVar("_Value", float, Histogram)


def comparable_reading(
    previous: EngineReading | None, engine: str, started_unix_seconds: float | None
) -> EngineReading | None:
    """The previous reading; None if another engine, or by its start time an earlier process, wrote it."""
    if previous is None or previous.engine != engine:
        return None
    return None if is_later(previous.started_unix_seconds, started_unix_seconds) else previous


def has_every_series(
    previous: EngineReading, counters: Mapping[SeriesId, float], histograms: Mapping[SeriesId, Histogram]
) -> bool:
    """Whether the page has every cumulative series seen since the process started."""
    none_absent = not previous.absent.counters and not previous.absent.histograms
    return (
        none_absent and previous.counters.keys() <= counters.keys() and previous.histograms.keys() <= histograms.keys()
    )


def is_same_process(
    previous: EngineReading,
    counters: Mapping[SeriesId, float],
    histograms: Mapping[SeriesId, Histogram],
    *,
    known: bool,
) -> bool:
    """Whether the same process wrote this page: no shared series decreased and at least one is above 0.

    If `known` (the page is damaged, or its process start time is unchanged), no shared series above 0 is needed.
    """
    before = {**previous.counters, **{key: one.count for key, one in previous.histograms.items()}}
    now = {**counters, **{key: one.count for key, one in histograms.items()}}
    common = before.keys() & now.keys()
    return (known or any(before[key] > 0.0 for key in common)) and all(now[key] >= before[key] for key in common)


def absent_series(
    previous: EngineReading, counters: Mapping[SeriesId, float], histograms: Mapping[SeriesId, Histogram]
) -> Absent:
    """The series of this process's earlier pages that are missing from this one, with their last values."""
    return Absent(
        _missing(previous.absent.counters, previous.counters, counters),
        _missing(previous.absent.histograms, previous.histograms, histograms),
    )


def _missing(
    earlier: Mapping[SeriesId, _Value], before: Mapping[SeriesId, _Value], now: Mapping[SeriesId, _Value]
) -> Mapping[SeriesId, _Value]:
    missing = {key: value for key, value in {**earlier, **before}.items() if key not in now}
    return dict(list(missing.items())[-MAX_ABSENT_SERIES:])


def switched_signals(previous: EngineReading, alternatives: Mapping[Signal, int]) -> frozenset[Signal]:
    """Signals now read from a different metric, whose value may have grown unread before."""
    return frozenset(
        signal for signal, chosen in alternatives.items() if previous.alternatives.get(signal, chosen) != chosen
    )
