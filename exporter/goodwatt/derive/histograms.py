"""Exact arithmetic on cumulative histograms. Nothing here interpolates."""

from bisect import bisect_left, bisect_right

from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Marginal


def add_histograms(one: Histogram, other: Histogram) -> Histogram:
    """Return the histogram of both populations. Where edges differ, only shared edges remain: only those are exact."""
    if one.edges != other.edges:
        shared = tuple(sorted(set(one.edges) & set(other.edges)))
        one, other = at_edges(one, shared), at_edges(other, shared)
    return Histogram(
        edges=one.edges,
        counts=tuple(a + b for a, b in zip(one.counts, other.counts, strict=True)),
        count=one.count + other.count,
        sum=None if one.sum is None or other.sum is None else one.sum + other.sum,
    )


def at_edges(histogram: Histogram, edges: tuple[float, ...]) -> Histogram:
    """Reduce a histogram to fewer buckets. `edges` must be among its edges."""
    counts = dict(zip(histogram.edges, histogram.counts, strict=True))
    return Histogram(
        edges=edges, counts=tuple(counts[edge] for edge in edges), count=histogram.count, sum=histogram.sum
    )


def marginal(histogram: Histogram, threshold: float) -> Marginal:
    """Bound how many observations were <= threshold: the counts at the nearest edges below and above it."""
    below = bisect_right(histogram.edges, threshold) - 1
    above = bisect_left(histogram.edges, threshold)
    return Marginal(
        certain=histogram.counts[below] if below >= 0 else 0.0,
        possible=histogram.counts[above] if above < len(histogram.edges) else histogram.count,
        observed=histogram.count,
    )
