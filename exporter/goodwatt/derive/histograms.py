"""Exact arithmetic on cumulative histograms. Nothing here interpolates."""

from bisect import bisect_left, bisect_right
from math import ceil, floor, inf, isfinite

from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Marginal

# A page's sum is the difference of two long sums of floats, each rounded.
_SUM_SLACK_SECONDS = 1e-6


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
    """Bound how many observations were <= threshold.

    The counts at the nearest edges below and above it are the first bounds. Where the threshold lies inside a bucket,
    the histogram's sum narrows them: it limits how many of the bucket's observations can be on either side, and a
    single observation is decided by it.
    """
    below = bisect_right(histogram.edges, threshold) - 1
    above = bisect_left(histogram.edges, threshold)
    certain = histogram.counts[below] if below >= 0 else 0.0
    possible = histogram.counts[above] if above < len(histogram.edges) else histogram.count
    inside = possible - certain
    if inside > 0 and histogram.sum is not None:
        fewest, most = _beyond(histogram, histogram.sum, above, inside, threshold)
        certain, possible = certain + inside - most, certain + inside - fewest
    return Marginal(certain=certain, possible=possible, observed=histogram.count)


def _beyond(histogram: Histogram, total: float, bucket: int, inside: float, threshold: float) -> tuple[float, float]:
    """Bound how many of a bucket's `inside` observations exceed the threshold, given the histogram's sum.

    The bucket's own sum lies between what `total` leaves when all other observations are as long, and as short, as
    their buckets allow. A sum that such observations cannot have was read in the middle of an update and is ignored.
    """
    low, high = _bucket_ends(histogram.edges, bucket)
    shortest, longest = _sum_of_others(histogram, bucket)
    least, most = total - longest - _SUM_SLACK_SECONDS, total - shortest + _SUM_SLACK_SECONDS
    if most < low * inside or least > high * inside:
        return 0.0, inside
    known = isfinite(least) and isfinite(high)
    fewest = max(0.0, ceil((least - threshold * inside) / (high - threshold))) if known else 0.0
    if threshold <= low:
        return fewest, inside
    return fewest, min(inside, floor((most - low * inside) / (threshold - low)))


def sum_is_possible(histogram: Histogram) -> bool:
    """Whether a sum is there and the observations can have it. One that they cannot was read during an update."""
    shortest, longest = _sum_of_others(histogram, bucket=-1)
    slack = _SUM_SLACK_SECONDS
    return histogram.sum is not None and shortest - slack <= histogram.sum <= longest + slack


def _sum_of_others(histogram: Histogram, bucket: int) -> tuple[float, float]:
    """The least and the greatest possible sum of the observations outside a bucket."""
    shortest = longest = before = 0.0
    for at, cumulative in enumerate((*histogram.counts, histogram.count)):
        count, before = cumulative - before, cumulative
        if at != bucket and count > 0:
            low, high = _bucket_ends(histogram.edges, at)
            shortest, longest = shortest + low * count, longest + high * count
    return shortest, longest


def _bucket_ends(edges: tuple[float, ...], bucket: int) -> tuple[float, float]:
    """The edges of a bucket. Latencies are not negative, and the last bucket has no upper end."""
    return edges[bucket - 1] if bucket > 0 else 0.0, edges[bucket] if bucket < len(edges) else inf
