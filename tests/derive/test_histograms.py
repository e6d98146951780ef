"""Arithmetic on cumulative histograms is exact or not done at all."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.histograms import add_histograms, at_edges, marginal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Marginal
from tests.derive.laws import law
from tests.fakes.readings import histogram

EDGES = (0.5, 1.0, 2.0)
latencies = st.lists(st.integers(0, 40).map(lambda n: n / 8), max_size=30)
edges = st.sets(st.integers(1, 40).map(lambda n: n / 8), max_size=8).map(lambda found: tuple(sorted(found)))
shared = latencies.map(lambda values: histogram(values, EDGES))


@law(100)
@given(shared, shared, shared)
def test_adding_is_commutative_and_associative(a, b, c):
    """Replicas may be added in any order."""
    assert add_histograms(a, b) == add_histograms(b, a)
    assert add_histograms(add_histograms(a, b), c) == add_histograms(a, add_histograms(b, c))


@law(200)
@given(latencies, edges, latencies, edges)
def test_adding_is_exact_at_the_shared_edges(ones, one_edges, others, other_edges):
    """For any edges, the sum is the histogram of both populations at the edges they share."""
    total = add_histograms(histogram(ones, one_edges), histogram(others, other_edges))
    assert total == histogram([*ones, *others], [edge for edge in one_edges if edge in other_edges])
    assert all(low <= high for low, high in pairwise((*total.counts, total.count)))


@law(300)
@given(latencies, edges, st.integers(0, 48).map(lambda n: n / 8))
def test_a_marginal_brackets_the_truth(values, some_edges, threshold):
    """certain <= observations within the threshold <= possible, with any data, edges and threshold."""
    truth = sum(value <= threshold for value in values)
    found = marginal(histogram(values, some_edges), threshold)
    assert found.certain <= truth <= found.possible <= found.observed == len(values)
    if threshold in some_edges:
        assert found.certain == truth == found.possible


def test_a_threshold_inside_a_bucket_is_bounded_by_its_edges():
    """0.7 s is in (0.5, 1.0]: observations up to 0.5 certainly meet it, those up to 1.0 possibly."""
    assert marginal(histogram([0.4, 0.6, 0.8, 3.0], EDGES), 0.7) == Marginal(1.0, 3.0, 4.0)


def test_the_sum_decides_a_single_observation():
    """One observation in the threshold's bucket: the sum is its latency, on either side of the threshold."""
    assert marginal(histogram([0.6], EDGES), 0.7) == Marginal(1.0, 1.0, 1.0)
    assert marginal(histogram([0.8], EDGES), 0.7) == Marginal(0.0, 0.0, 1.0)


def test_the_sum_limits_how_many_of_a_bucket_exceed_the_threshold():
    """Three observations in (0.5, 1] add up to 1.75: at most one of them can exceed 0.7 s."""
    assert marginal(histogram([0.55, 0.55, 0.65], EDGES), 0.7) == Marginal(2.0, 3.0, 3.0)


def test_a_sum_that_no_such_observations_have_is_ignored():
    """A page read in the middle of an update may count an observation that its sum lacks: the buckets alone decide."""
    torn = Histogram(edges=EDGES, counts=(0.0, 2.0, 2.0), count=2.0, sum=0.6)
    assert marginal(torn, 0.7) == Marginal(0.0, 2.0, 2.0)
    unknown = Histogram(edges=EDGES, counts=(0.0, 2.0, 2.0), count=2.0)
    assert marginal(unknown, 0.7) == Marginal(0.0, 2.0, 2.0)


def test_beyond_the_last_edge_anything_is_possible():
    """A threshold above every edge surely holds what the last edge holds, and possibly everything."""
    assert marginal(histogram([0.4, 3.0, 9.0], EDGES), 5.0) == Marginal(1.0, 3.0, 3.0)


def test_below_the_first_edge_nothing_is_certain():
    """No observation certainly meets a threshold below every edge, and the first bucket possibly does."""
    assert marginal(histogram([0.4, 3.0], EDGES), 0.1) == Marginal(0.0, 1.0, 2.0)


def test_a_histogram_without_edges_has_only_a_count():
    """Without shared edges no observation is certain and all are possible."""
    assert marginal(histogram([0.4, 3.0], ()), 1.0) == Marginal(0.0, 2.0, 2.0)


def test_an_unknown_sum_makes_the_total_unknown():
    """If one side lacks the sum, so does the total."""
    one, other = (
        Histogram(edges=EDGES, counts=(0.0, 0.0, 1.0), count=1.0, sum=1.5),
        Histogram(edges=EDGES, counts=(0.0, 0.0, 1.0), count=1.0),
    )
    assert add_histograms(one, other).sum is None
    assert add_histograms(other, one).sum is None


def test_fewer_edges_lose_no_observation():
    """Reduced to fewer edges, a histogram keeps its count and its sum."""
    assert at_edges(histogram([0.4, 3.0], EDGES), (1.0,)) == Histogram(edges=(1.0,), counts=(1.0,), count=2.0, sum=3.4)
