"""Reset-aware growth of cumulative series."""

from collections.abc import Container, Iterator, Mapping
from itertools import pairwise
from typing import TypeVar

from goodwatt.model.engine import EngineReading, SeriesId
from goodwatt.model.histogram import Histogram

Kind = TypeVar("Kind")

_ROUNDING = 1e-9


def increase(previous: float, current: float) -> float:
    """Growth of a counter between two readings; a fall is a restart from zero, so all of `current` is new."""
    return current - previous if current >= previous else current


def histogram_increase(previous: Histogram, current: Histogram) -> Histogram:
    """Growth of a cumulative histogram, or all of `current` where only a restart explains it.

    That is where the edges changed, a bucket or the sum fell, or a bucket grew by more than the wider one beside it.
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
    """Whether a sum fell by more than adding up the same observations in another order can explain."""
    return previous is not None and current is not None and current < previous * (1.0 - _ROUNDING)


def counter_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, float]]:
    """Growth of every counter of a page, a series at a time.

    On the first page of a server everything is a baseline and grows by 0. Later, a series that was not on the page
    before started at zero since then, so all of it is new; unless its signal could not be believed there, or was read
    from other metrics, for then it may have been on that page with any value. One that was only missing from that page
    goes on from its value before. Another engine behind the address is a first page; of another process of the same
    engine all is new, however high it has counted already.
    """
    known: Mapping[SeriesId, float] = {} if previous is None else {**previous.absent.counters, **previous.counters}
    known = {} if is_another_run(previous, current) else known
    for series, value in current.counters.items():
        first = _is_first(series, known, previous, current)
        yield series, 0.0 if first else increase(known.get(series, 0.0), value)


def is_baseline(previous: EngineReading | None, current: EngineReading) -> bool:
    """Whether nothing of a page may be counted: it is the first of its server, or of another engine there."""
    return previous is None or previous.engine != current.engine


def is_another_run(previous: EngineReading | None, current: EngineReading) -> bool:
    """Whether a page tells of a later start of its process than the page before did."""
    before = None if previous is None else previous.started_unix_seconds
    return is_later(before, current.started_unix_seconds)


def is_later(before: float | None, now: float | None) -> bool:
    """Whether a process started later than the one before, as far as both tell."""
    return before is not None and now is not None and now > before


def histogram_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, Histogram]]:
    """Growth of every histogram of a page, a series at a time, by the rules of `counter_increases`."""
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


def plus(counts: Mapping[Kind, int], more: Mapping[Kind, int]) -> dict[Kind, int]:
    """Counts with more of the same added."""
    return {**counts, **{kind: counts.get(kind, 0) + number for kind, number in more.items()}}
