"""Thresholds and bucket edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.config.advice.bucket_edges import edge_advice, width_estimate
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold

EDGES = (0.1, 0.25, 0.5, 1.0)


def of(seconds: float, edges: tuple[float, ...] = EDGES) -> tuple[str, ...]:
    return edge_advice(
        Slo(name="interactive", thresholds=(Threshold(Signal.TTFT, seconds),), objective=0.95), {Signal.TTFT: edges}
    )


@pytest.mark.parametrize(
    ("seconds", "bucket", "exact"),
    [
        (0.45, "(0.25, 0.5]", "0.5"),
        (0.3, "(0.25, 0.5]", "0.25"),
        (0.375, "(0.25, 0.5]", "0.5"),  # as near to either: the more lenient one
        (0.04, "(0, 0.1]", "0.1"),
        (30.0, "(1, +Inf]", "1"),
    ],
)
def test_a_threshold_inside_a_bucket(seconds: float, bucket: str, exact: str) -> None:
    """The bucket is named, and the nearest edge, which would be exact."""
    assert of(seconds) == (
        f"slo interactive: ttft {seconds:g} s lies inside the bucket {bucket}; {exact} s would be exact, "
        "here bounds are narrow only at about one request per read or fewer",
    )


@pytest.mark.parametrize("edge", EDGES)
def test_a_threshold_on_an_edge(edge: float) -> None:
    """A threshold on an edge is exact and needs no advice."""
    assert of(edge) == ()


def test_unknown_edges() -> None:
    """A signal without known edges gets no advice."""
    assert of(0.3, ()) == ()
    assert edge_advice(Slo(name="s", thresholds=(Threshold(Signal.TTFT, 0.3),), objective=0.95), {}) == ()


def test_every_threshold_is_checked() -> None:
    """There is advice on each threshold, in order."""
    slo = Slo(
        name="s",
        thresholds=(Threshold(Signal.TTFT, 0.3), Threshold(Signal.E2E, 1.0), Threshold(Signal.TPOT, 0.04)),
        objective=0.95,
    )
    lines = edge_advice(slo, dict.fromkeys(Signal, EDGES))
    assert [line.split()[2] for line in lines] == ["ttft", "tpot"]


@given(st.lists(st.floats(0.001, 1000), min_size=1, unique=True).map(sorted), st.floats(0.001, 1000))
def test_advice_that_is_followed_is_silent(edges: list[float], seconds: float) -> None:
    """Setting the threshold to the suggested edge leaves no advice."""
    nearest = min(edges, key=lambda edge: abs(edge - seconds))
    assert of(nearest, tuple(edges)) == ()
    assert bool(of(seconds, tuple(edges))) == (seconds not in edges)


def test_the_width_needs_every_edge() -> None:
    """Without the edges of one of its thresholds nothing is said of an SLO."""
    slo = Slo(name="s", thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 1.0)), objective=0.95)
    assert width_estimate(slo, {Signal.TTFT: EDGES}) is None
    assert "on bucket edges" in (width_estimate(slo, dict.fromkeys(Signal, EDGES)) or "")
