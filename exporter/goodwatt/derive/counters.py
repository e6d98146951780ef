"""Reset-aware increases of counters and histograms."""

from collections.abc import Container, Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

from goodwatt.model.engine import EngineReading, SeriesId
from goodwatt.model.histogram import Histogram

_Key = TypeVar("_Key")

_ROUNDING = 1e-9


def counter_increase(previous: float, current: float) -> float:
    """Increase of a counter between two readings. A lower value is a reset to zero, so all of `current` is new."""
    return current - previous if current >= previous else current


def histogram_increase(previous: Histogram, current: Histogram) -> Histogram:
    """Increase of a cumulative histogram, or all of `current` where only a reset explains the change.

    That is where the edges changed, a bucket or the sum fell, or a bucket grew by more than the next wider one.
    """
    if previous.edges != current.edges:
        return current
    counts = tuple(now - before for before, now in zip(previous.counts, current.counts, strict=True))
    count = current.count - previous.count
    if _fell(previous.sum, current.sum) or any(low > high for low, high in pairwise((0.0, *counts, count))):
        return current
    return Histogram(edges=current.edges, counts=counts, count=count, sum=_sum_increase(previous.sum, current.sum))


def _sum_increase(previous: float | None, current: float | None) -> float | None:
    return None if previous is None or current is None else max(0.0, current - previous)


def _fell(previous: float | None, current: float | None) -> bool:
    """Whether a sum fell by more than adding the same observations in another order can explain."""
    return previous is not None and current is not None and current < previous * (1.0 - _ROUNDING)


def counter_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, float]]:
    """Increase of every counter on a page, one series at a time.

    A server's first page is a baseline: every series grows by 0. So is the first page of another engine at the same
    address. After a later start of the same engine everything is new, however high it has counted already.

    A series that the previous page lacked started at zero since then, so all of it is new, with two exceptions. If its
    signal was unreadable there, or is read from other metrics now, the series may have had any value, and it is a
    baseline. If an earlier page of the same run had it, it continues from its last value.
    """
    known: Mapping[SeriesId, float] = {} if previous is None else {**previous.absent.counters, **previous.counters}
    known = {} if is_another_run(previous, current) else known
    for series, value in current.counters.items():
        first = _is_first(series, known, previous, current)
        yield series, 0.0 if first else counter_increase(known.get(series, 0.0), value)


def is_baseline(previous: EngineReading | None, current: EngineReading) -> bool:
    """Whether nothing on a page may be counted: it is the first one of its server, or of another engine there."""
    return previous is None or previous.engine != current.engine


def is_another_run(previous: EngineReading | None, current: EngineReading) -> bool:
    """Whether a page reports a later process start than the page before it."""
    before = None if previous is None else previous.started_unix_seconds
    return is_later(before, current.started_unix_seconds)


def has_restarted(previous: EngineReading, current: EngineReading) -> bool:
    """Whether the engine's counters began at zero between two pages: a later start, or any counter that fell."""
    fell = (current.counters.get(series, value) < value for series, value in previous.counters.items())
    return is_another_run(previous, current) or any(fell)


def is_later(before: float | None, now: float | None) -> bool:
    """Whether a process start is later than the one before; False where either is unknown."""
    return before is not None and now is not None and now > before


def histogram_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, Histogram]]:
    """Increase of every histogram on a page, one series at a time, by the rules of `counter_increases`."""
    known: Mapping[SeriesId, Histogram] = (
        {} if previous is None else {**previous.absent.histograms, **previous.histograms}
    )
    known = {} if is_another_run(previous, current) else known
    for series, histogram in current.histograms.items():
        before = histogram if _is_first(series, known, previous, current) else known.get(series)
        yield series, histogram if before is None else histogram_increase(before, histogram)


def _is_first(
    series: SeriesId, known: Container[SeriesId], previous: EngineReading | None, current: EngineReading
) -> bool:
    if previous is None or is_baseline(previous, current):
        return True
    if is_another_run(previous, current):
        return False
    return series not in known and series.signal in previous.unread | current.switched


def add_counts(counts: Mapping[_Key, int], more: Mapping[_Key, int]) -> dict[_Key, int]:
    """Return `counts` with `more` added by key."""
    return {**counts, **{key: counts.get(key, 0) + number for key, number in more.items()}}
