"""Advice on thresholds that lie inside a histogram bucket, where the bounds on goodput are wider.

On an edge a threshold is exact, and only what was in flight at the beginning of a range widens the bounds. Inside a
bucket the histogram's sum decides a page with few observations, and leaves the whole bucket open on a page with many.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping

from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold


def edge_advice(slo: Slo, signal_edges: Mapping[Signal, tuple[float, ...]]) -> tuple[str, ...]:
    """Return one line for each threshold that is not a bucket edge, with its bucket and the nearest edge.

    `signal_edges` are finite ascending edges in seconds; without edges for a signal there is no advice on it.
    """
    return tuple(_lines(slo, signal_edges))


def _lines(slo: Slo, signal_edges: Mapping[Signal, tuple[float, ...]]) -> Iterator[str]:
    for threshold in slo.thresholds:
        edges = signal_edges.get(threshold.signal, ())
        if edges and threshold.seconds not in edges:
            yield f"slo {slo.name}: {_line(threshold, edges)}"


def _line(threshold: Threshold, edges: tuple[float, ...]) -> str:
    above = bisect_left(edges, threshold.seconds)
    low = edges[above - 1] if above > 0 else 0.0
    high = edges[above] if above < len(edges) else None
    bucket = f"({low:g}, +Inf]" if high is None else f"({low:g}, {high:g}]"
    exact = min(reversed(edges), key=lambda edge: abs(edge - threshold.seconds))
    return (
        f"{threshold.signal} {threshold.seconds:g} s lies inside the bucket {bucket}; {exact:g} s would be exact, "
        "here bounds are narrow only at about one request per read or fewer"
    )


def width_estimate(slo: Slo, signal_edges: Mapping[Signal, tuple[float, ...]]) -> str | None:
    """Say how far apart the bounds on a good share will be; None if the edges of a threshold are unknown.

    The figures are those of `python -m tests.bench goodput` for ordinary loads, rounded up.
    """
    edges = {threshold.signal: signal_edges.get(threshold.signal, ()) for threshold in slo.thresholds}
    if not all(edges.values()):
        return None
    inside = [str(t.signal) for t in slo.thresholds if t.seconds not in edges[t.signal]]
    if not inside:
        return "on bucket edges; where most requests meet it, bounds within 5 % over 5 minutes and 1 % over an hour"
    return (
        f"{' and '.join(inside)} inside a bucket; bounds within 10 % at 1 request/s, and at higher rates as far apart "
        "as the share of requests in that bucket"
    )
