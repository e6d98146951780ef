"""A histogram from the lines of a page: read whole, or refused."""

import math
from collections.abc import Mapping

from exporter.model.histogram import Histogram


def edge_of(text: str | None) -> float | None:
    """The upper edge in an `le` label, `inf` for the last one in any spelling; None if it is no edge of a latency."""
    try:
        edge = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return edge if edge >= 0.0 else None


def assemble(buckets: Mapping[float, float], count: float | None, total: float | None) -> Histogram | None:
    """The histogram of one series, or None if its counts fall along the edges and so cannot be believed.

    Without a +Inf bucket `count` stands for it, and without that the last bucket: what lies beyond the last edge is
    then unknown. `total` is the sum; None stays None.
    """
    edges = tuple(sorted(edge for edge in buckets if edge != math.inf))
    counts = tuple(buckets[edge] for edge in edges)
    last = counts[-1] if counts else None
    whole = next((value for value in (buckets.get(math.inf), count, last) if value is not None), None)
    if whole is None or any(low > high for low, high in zip(counts, (*counts[1:], whole), strict=False)):
        return None
    return Histogram(edges, counts, whole, total)
