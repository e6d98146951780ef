"""Histograms from records: every threshold is an edge, so the share within it is exact."""

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.slo import latency_histograms
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account
from goodwatt.model.slo import Slo, Threshold
from tests.derive.laws import law
from tests.fakes.readings import histogram

A = Account("a", "llama")


def test_every_threshold_that_applies_to_the_account_is_an_edge():
    """Thresholds of other accounts and other signals are not edges; default edges always are."""
    slos = (
        Slo(name="one", thresholds=(Threshold(Signal.TTFT, 0.123), Threshold(Signal.E2E, 7.7)), objective=0.9),
        Slo(name="two", thresholds=(Threshold(Signal.TTFT, 0.5),), objective=0.9),
        Slo(name="other", thresholds=(Threshold(Signal.TTFT, 0.321),), objective=0.9, models=("qwen*",)),
    )
    found = latency_histograms.histogram_edges(A, Signal.TTFT, slos)
    assert 0.123 in found and 0.321 not in found and 7.7 not in found
    assert set(found) == {*latency_histograms.DEFAULT_EDGES[Signal.TTFT], 0.123}
    assert list(found) == sorted(set(found))


@law(100)
@given(st.lists(st.one_of(st.sampled_from([0.1, 0.25, 1.0]), st.floats(0, 5)), max_size=20), st.integers(0, 20))
def test_a_histogram_equals_an_engines_histogram(values, cut):
    """Counts and sum are those of all observations, however ticks split them."""
    edges = (0.1, 0.25, 1.0)
    found = latency_histograms.observe_latencies(
        latency_histograms.observe_latencies(latency_histograms.empty_histogram(edges), values[:cut]), values[cut:]
    )
    assert found == latency_histograms.observe_latencies(latency_histograms.empty_histogram(edges), values)
    wanted = histogram(values, edges)
    assert (found.edges, found.counts, found.count) == (wanted.edges, wanted.counts, wanted.count)
    total = 0.0
    for value in values:
        total += value
    assert found.sum == total
