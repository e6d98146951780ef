"""A histogram from the lines of a page: read whole, or refused."""

import math
from collections.abc import Mapping

from goodwatt.model.histogram import Histogram


def upper_bound(text: str | None) -> float | None:
    """The upper edge in an `le` label, `inf` for the last one in any spelling; None if it is no edge of a latency."""
    try:
        edge = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return edge if edge >= 0.0 else None


def histogram_from_buckets(
    buckets: Mapping[float, float], count: float | None, total: float | None
) -> Histogram | None:
    """The histogram of one series, or None if it cannot be believed: its counts fall along the edges, or its end lacks.

    Without a +Inf bucket `count` stands for it; without either the page may be cut off, and more edges and observations
    be missing. `total` is the sum; None stays None.
    """
    edges = tuple(sorted(edge for edge in buckets if edge != math.inf))
    counts = tuple(buckets[edge] for edge in edges)
    whole = buckets.get(math.inf, count)
    if whole is None or any(low > high for low, high in zip(counts, (*counts[1:], whole), strict=False)):
        return None
    return Histogram(edges=edges, counts=counts, count=whole, sum=total)
