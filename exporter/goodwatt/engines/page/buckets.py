"""Builds a histogram from its bucket lines, or rejects it as a whole."""

import math
from collections.abc import Mapping

from goodwatt.model.histogram import Histogram


def upper_bound(text: str | None) -> float | None:
    """The bucket bound in an `le` label, `inf` for any spelling of +Inf; None if it is not a number >= 0."""
    try:
        edge = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return edge if edge >= 0.0 else None


def histogram_from_buckets(
    buckets: Mapping[float, float], count: float | None, total: float | None
) -> Histogram | None:
    """The histogram of one series; None if its cumulative counts decrease or it has neither +Inf nor count.

    `count` replaces a missing +Inf bucket. Without both, the page may be truncated and buckets may be missing. `total`
    is the sum; None stays None.
    """
    edges = tuple(sorted(edge for edge in buckets if edge != math.inf))
    counts = tuple(buckets[edge] for edge in edges)
    whole = buckets.get(math.inf, count)
    if whole is None or any(low > high for low, high in zip(counts, (*counts[1:], whole), strict=False)):
        return None
    return Histogram(edges=edges, counts=counts, count=whole, sum=total)
