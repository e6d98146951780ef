"""What a page that lacks series tells: the engine has started anew, or they are only missing from this page.

A page may be cut off at the end of a line, and an agent may leave a series out for once. If that were taken for a
restart, everything that the series ever counted would be counted again when it is back.
"""

from collections.abc import Mapping
from typing import TypeVar

from goodwatt.derive.counters import is_later
from goodwatt.model.engine import Absent, EngineReading, SeriesId, Signal
from goodwatt.model.histogram import Histogram

MAX_ABSENT_SERIES = 4096  # series of each kind: replicas that came and went

Value = TypeVar("Value", float, Histogram)


def comparable_reading(
    previous: EngineReading | None, engine: str, started_unix_seconds: float | None
) -> EngineReading | None:
    """The page before, unless another engine wrote it, or a process that started earlier, as far as both tell."""
    if previous is None or previous.engine != engine:
        return None
    return None if is_later(previous.started_unix_seconds, started_unix_seconds) else previous


def has_every_series(
    previous: EngineReading, counters: Mapping[SeriesId, float], histograms: Mapping[SeriesId, Histogram]
) -> bool:
    """Whether a page has every cumulative series that any page of this run had."""
    forgotten = not previous.absent.counters and not previous.absent.histograms
    return forgotten and previous.counters.keys() <= counters.keys() and previous.histograms.keys() <= histograms.keys()


def is_same_process(
    previous: EngineReading,
    counters: Mapping[SeriesId, float],
    histograms: Mapping[SeriesId, Histogram],
    *,
    known: bool,
) -> bool:
    """Whether a page is of the same run as the one before: something has counted on, and nothing has fallen.

    Where it is `known`, because the page is damaged or tells when its process started, nothing needs to be left that
    counts.
    """
    before = {**previous.counters, **{key: one.count for key, one in previous.histograms.items()}}
    now = {**counters, **{key: one.count for key, one in histograms.items()}}
    common = before.keys() & now.keys()
    return (known or any(before[key] > 0.0 for key in common)) and all(now[key] >= before[key] for key in common)


def absent_series(
    previous: EngineReading, counters: Mapping[SeriesId, float], histograms: Mapping[SeriesId, Histogram]
) -> Absent:
    """The series of earlier pages of this run that are not among those of this page."""
    return Absent(
        _missing(previous.absent.counters, previous.counters, counters),
        _missing(previous.absent.histograms, previous.histograms, histograms),
    )


def _missing(
    earlier: Mapping[SeriesId, Value], before: Mapping[SeriesId, Value], now: Mapping[SeriesId, Value]
) -> Mapping[SeriesId, Value]:
    missing = {key: value for key, value in {**earlier, **before}.items() if key not in now}
    return dict(list(missing.items())[-MAX_ABSENT_SERIES:])


def switched_signals(previous: EngineReading, alternatives: Mapping[Signal, int]) -> frozenset[Signal]:
    """Signals that were read from other metrics on the page before: these may have stood there unread, at any value."""
    return frozenset(
        signal for signal, chosen in alternatives.items() if previous.alternatives.get(signal, chosen) != chosen
    )
