"""Latency histograms from request records. Every SLO threshold is one of their bucket edges."""

from bisect import bisect_left
from collections.abc import Collection, Iterable
from itertools import accumulate

from goodwatt.derive.slo.bounds import applies
from goodwatt.model.engine import Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account
from goodwatt.model.slo import Slo

DEFAULT_EDGES: dict[Signal, tuple[float, ...]] = {
    Signal.TTFT: (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0),
    Signal.TPOT: (0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5),
    Signal.E2E: (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0),
}


def histogram_edges(account: Account, signal: Signal, slos: Iterable[Slo]) -> tuple[float, ...]:
    """Return a signal's default edges plus the account's SLO thresholds for that signal, in seconds."""
    named = [t.seconds for slo in slos if applies(slo, *account) for t in slo.thresholds if t.signal is signal]
    return tuple(sorted({*DEFAULT_EDGES[signal], *named}))


def empty_histogram(edges: tuple[float, ...]) -> Histogram:
    """Return a histogram without observations."""
    return Histogram(edges=edges, counts=(0.0,) * len(edges), count=0.0, sum=0.0)


def observe_latencies(histogram: Histogram, values: Collection[float]) -> Histogram:
    """Add these observations, in order: the sum does not depend on how they are split into calls."""
    added, total = [0] * (len(histogram.edges) + 1), histogram.sum or 0.0
    for value in values:
        added[bisect_left(histogram.edges, value)] += 1
        total += value
    counts = tuple(old + new for old, new in zip(histogram.counts, accumulate(added), strict=False))
    return Histogram(edges=histogram.edges, counts=counts, count=histogram.count + len(values), sum=total)
