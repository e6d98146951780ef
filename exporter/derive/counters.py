"""Reset-aware growth of cumulative series."""

from collections.abc import Iterator, Mapping

from exporter.model.engine import EngineReading, SeriesId
from exporter.model.histogram import Histogram


def increase(previous: float, current: float) -> float:
    """Growth of a counter between two readings; a fall is a restart from zero, so all of `current` is new."""
    return current - previous if current >= previous else current


def histogram_increase(previous: Histogram, current: Histogram) -> Histogram:
    """Growth of a cumulative histogram. A bucket that fell, or other edges, mean a restart: all of `current` is new."""
    if previous.edges != current.edges or not _covers(previous, current):
        return current
    return Histogram(
        current.edges,
        tuple(now - before for before, now in zip(previous.counts, current.counts, strict=True)),
        current.count - previous.count,
        None if current.sum is None or previous.sum is None else current.sum - previous.sum,
    )


def _covers(previous: Histogram, current: Histogram) -> bool:
    return current.count >= previous.count and all(
        now >= before for before, now in zip(previous.counts, current.counts, strict=True)
    )


def counter_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, float]]:
    """Growth of every counter of a page, a series at a time.

    On the first page of a server everything is a baseline and grows by 0. Later, a series that was not on the page
    before started at zero since then, so all of it is new. Another engine behind the address is a first page.
    """
    for series, value in current.counters.items():
        before = _before(previous, current, None if previous is None else previous.counters.get(series))
        yield series, 0.0 if before is None else increase(before, value)


def _before(previous: EngineReading | None, current: EngineReading, value: float | None) -> float | None:
    if previous is None or previous.engine != current.engine:
        return None
    return 0.0 if value is None else value


def histogram_increases(previous: EngineReading | None, current: EngineReading) -> Iterator[tuple[SeriesId, Histogram]]:
    """Growth of every histogram of a page, a series at a time, by the rules of `counter_increases`."""
    known: Mapping[SeriesId, Histogram] = {} if previous is None else previous.histograms
    baseline = previous is None or previous.engine != current.engine
    for series, histogram in current.histograms.items():
        before = histogram if baseline else known.get(series)
        yield series, histogram if before is None else histogram_increase(before, histogram)
