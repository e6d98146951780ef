"""A cumulative histogram in the sense of Prometheus."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """`counts[i]` observations were <= `edges[i]`. Edges are finite and ascending; `count` is the +Inf bucket.

    Counts are cumulative and never fall along the edges. `sum` is None where the engine does not expose it.
    """

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    count: float
    sum: float | None = None
