"""Increases of cumulative series across restarts, replicas and late starts."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.counters import counter_increase, histogram_increase
from goodwatt.derive.page_growth import measure_growth
from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, CountKey
from tests.derive.laws import law
from tests.fakes.readings import MODEL, Fold, counter, finished, histogram, page, served, silent

ACCOUNT = Account("a", MODEL)
GENERATED = CountKey(ACCOUNT, Signal.GENERATED_TOKENS)
TTFT = SeriesId(signal=Signal.TTFT, model=MODEL)
EDGES = (1.0, 2.0)


def counted(*pages, key=GENERATED):
    """Return the ledger's value of one counter after these pages, 5 s apart."""
    fold = Fold()
    for n, one in enumerate(pages):
        fold.tick(5.0 * n, served(page("a", 5.0 * n, *one)) if one is not None else silent("a"))
    return fold.state.ledger.counts.get(key)


def generated(value, series=""):
    return counter(Signal.GENERATED_TOKENS, value, series=series)


def test_an_increase_is_the_difference():
    """A counter that grew by 40 has increased by 40."""
    assert counter_increase(60.0, 100.0) == 40.0


def test_a_lower_value_is_a_reset_to_zero():
    """After a reset the whole value is new, even if it is 0."""
    assert counter_increase(60.0, 25.0) == 25.0
    assert counter_increase(60.0, 0.0) == 0.0


def test_an_unchanged_value_is_not_a_reset():
    """An unchanged counter increases by 0."""
    assert counter_increase(60.0, 60.0) == 0.0


def test_the_first_page_is_a_baseline():
    """Counts from before the first scrape are ignored, and the counters exist at 0."""
    assert counted([generated(1_000_000.0)]) == 0.0


def test_a_series_that_appears_later_counts_from_zero():
    """No token is lost on engines that write a series only after its first token."""
    assert counted([counter(Signal.PROMPT_TOKENS, 5.0)], [generated(120.0)]) == 120.0


def test_a_series_missing_after_a_restart_counts_from_zero():
    """If a restarted engine has not written a series yet, its first value is all new, however high."""
    assert counted([generated(10.0)], [generated(50.0)], [], [generated(70.0)]) == 40.0 + 70.0


def test_another_engine_at_the_same_address_is_a_baseline():
    """Its earlier counts are ignored, and the previous engine's counts stay."""
    fold = Fold()
    for n, (engine, value) in enumerate([("vllm", 10.0), ("vllm", 30.0), ("sglang", 9000.0), ("sglang", 9007.0)]):
        fold.tick(5.0 * n, served(page("a", 5.0 * n, generated(value), engine=engine)))
    assert fold.state.ledger.counts[GENERATED] == 27.0


def test_a_server_that_misses_ticks_loses_nothing():
    """Increases span missed ticks, even enough of them to make the server stale."""
    assert counted([generated(10.0)], *[None] * 7, [generated(99.0)]) == 89.0


def test_resets_are_detected_per_replica():
    """A reset of one replica is detected while another grows and their sum does not fall.

    400 + 100 -> 450 + 80: summed first this looks like +30, but one replica grew by 50 and the other restarted and
    counted 80.
    """
    before = [generated(400.0, "engine=0"), generated(100.0, "engine=1")]
    after = [generated(450.0, "engine=0"), generated(80.0, "engine=1")]
    assert counted(before, after) == 130.0


def test_outcomes_are_counted_separately():
    """Finished requests are counted by outcome, each with its own increase."""
    pages = [
        [finished(Outcome.SUCCESS, 5.0), finished(Outcome.ERROR, 1.0)],
        [finished(Outcome.SUCCESS, 9.0), finished(Outcome.ERROR, 2.0)],
    ]
    assert counted(*pages, key=CountKey(ACCOUNT, Signal.REQUESTS, Outcome.SUCCESS)) == 4.0
    assert counted(*pages, key=CountKey(ACCOUNT, Signal.REQUESTS, Outcome.ERROR)) == 1.0
    assert counted(*pages, key=CountKey(ACCOUNT, Signal.REQUESTS, Outcome.CANCELLED)) is None


def test_a_signal_that_no_page_has_is_absent():
    """A counter that the engine does not have is absent from the ledger, not 0."""
    assert counted([generated(1.0)], [generated(2.0)], key=CountKey(ACCOUNT, Signal.PROMPT_TOKENS)) is None


@law(200)
@given(st.lists(st.lists(st.integers(0, 10_000), max_size=6), min_size=1, max_size=4))
def test_token_totals_are_exact_across_restarts(runs):
    """Over runs of an engine, each scraped from its start, the total equals the tokens generated while scraped."""
    pages = [[generated(float(sum(run[:n])))] for run in runs for n in range(len(run) + 1)]
    assert counted(*pages) == sum(sum(run) for run in runs)


@law(100)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["engine=0", "engine=1", "engine=2"]), st.integers(0, 300), min_size=1),
        min_size=1,
        max_size=8,
    )
)
def test_changing_replicas_equal_an_independent_count(pages):
    """For any pages of any replicas the ledger equals the increases of each series, computed without the fold."""
    expected = 0
    for before, after in pairwise(pages):
        for series, value in after.items():
            old = before.get(series, 0)
            expected += value - old if value >= old else value
    assert counted(*[[generated(float(v), s) for s, v in one.items()] for one in pages]) == expected


def test_a_histogram_increases_bucket_by_bucket():
    """The increase between two pages is the difference of every bucket, of the count and of the sum."""
    grown = histogram_increase(histogram([0.5, 1.5], EDGES), histogram([0.5, 1.5, 1.5, 9.0], EDGES))
    assert grown == Histogram(edges=EDGES, counts=(0.0, 1.0), count=2.0, sum=10.5)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (([0.5] * 3, EDGES), ([0.5], EDGES)),  # the count fell
        (([0.5, 0.5], EDGES), ([0.5, 5.0, 5.0], EDGES)),  # a bucket fell though the count grew
        (([1.5] * 3, EDGES), ([0.5] * 3, EDGES)),  # a bucket grew and the next wider one did not
        (([1.5] * 3, EDGES), ([0.5, 0.5, 9.0, 9.0], EDGES)),  # the middle bucket fell
        (([1.9] * 3, EDGES), ([1.1] * 3, EDGES)),  # only the sum fell
        (([0.5], EDGES), ([0.5, 0.5], (1.0, 4.0))),  # other edges
    ],
)
def test_a_reset_histogram_is_all_new(before, after):
    """Where only a reset explains the buckets, the whole histogram is new."""
    assert histogram_increase(histogram(*before), histogram(*after)) == histogram(*after)


def test_a_rounding_error_in_the_sum_is_not_a_reset():
    """Multi-process engines add sums in any order: the last digit may fall, and no observation counts twice."""
    before, after = (
        Histogram(edges=EDGES, counts=(1.0, 1.0), count=1.0, sum=0.3),
        Histogram(edges=EDGES, counts=(1.0, 1.0), count=1.0, sum=0.3 - 1e-16),
    )
    assert before.sum > after.sum
    assert histogram_increase(before, after) == Histogram(edges=EDGES, counts=(0.0, 0.0), count=0.0, sum=0.0)


@pytest.mark.parametrize(("before", "after"), [(None, 4.0), (4.0, None), (None, None)])
def test_an_unknown_sum_stays_unknown(before, after):
    """If either page lacks the sum, the increase lacks it too, and the buckets still count."""
    grown = histogram_increase(
        Histogram(edges=EDGES, counts=(1.0, 1.0), count=1.0, sum=before),
        Histogram(edges=EDGES, counts=(2.0, 3.0), count=3.0, sum=after),
    )
    assert grown == Histogram(edges=EDGES, counts=(1.0, 2.0), count=2.0, sum=None)


def test_histogram_resets_are_detected_per_replica():
    """A replica's reset is detected in its own buckets, before replicas are summed."""
    one, two = (
        SeriesId(signal=Signal.TTFT, model=MODEL, series="engine=0"),
        SeriesId(signal=Signal.TTFT, model=MODEL, series="engine=1"),
    )
    before = page("a", 0.0, histograms={one: histogram([0.5] * 5, EDGES), two: histogram([1.5] * 5, EDGES)})
    after = page("a", 5.0, histograms={one: histogram([0.5] * 9, EDGES), two: histogram([1.5] * 2, EDGES)})
    assert measure_growth(before, after).histograms[ACCOUNT, Signal.TTFT] == Histogram(
        edges=EDGES, counts=(4.0, 6.0), count=6.0, sum=5.0
    )


def test_a_histogram_that_appears_later_counts_from_zero():
    """Like a counter, a histogram that the previous page lacked is all new; on the first page it is a baseline."""
    fold = Fold()
    seen = histogram([0.5, 0.5], EDGES)
    fold.tick(0.0, served(page("a", 0.0, generated(1.0))))
    fold.tick(5.0, served(page("a", 5.0, generated(1.0), histograms={TTFT: seen})))
    assert fold.state.ledger.histograms[ACCOUNT, Signal.TTFT] == seen
    fold = Fold()
    fold.tick(0.0, served(page("a", 0.0, generated(1.0), histograms={TTFT: seen})))
    assert fold.state.ledger.histograms[ACCOUNT, Signal.TTFT].count == 0.0


def test_dropped_lines_add_up():
    """Malformed lines are counted per server over its pages."""
    fold = Fold()
    for n in range(3):
        fold.tick(5.0 * n, served(page("a", 5.0 * n, generated(1.0), dropped_lines=2)))
    assert fold.state.ledger.dropped_lines == {"a": 6}


def test_a_signal_that_was_unreadable_before_is_a_baseline():
    """A counter that was NaN on the first page may have had any value: its first valid value is a baseline, and later
    increases count. The same holds for histograms."""
    first = replace(
        page("a", 0.0, counter(Signal.PROMPT_TOKENS, 5.0)), unread=frozenset({GENERATED.signal, TTFT.signal})
    )
    good = page("a", 5.0, generated(150.0), histograms={TTFT: histogram([0.5] * 9, EDGES)})
    grown = measure_growth(first, good)
    assert (grown.counts[GENERATED], grown.histograms[ACCOUNT, Signal.TTFT].count) == (0.0, 0.0)
    assert measure_growth(good, page("a", 10.0, generated(170.0))).counts[GENERATED] == 20.0


def test_a_later_process_start_is_a_reset_at_any_value():
    """After a later process start all counters and histograms are new, also higher ones and ones that were unreadable
    before. The same start time, or none, is the same run."""

    def of(start: float | None, tokens: float, observed: int, unread: frozenset[Signal] = frozenset()):
        seen = page("a", 0.0, generated(tokens), histograms={TTFT: histogram([0.5] * observed, EDGES)})
        return replace(seen, started_unix_seconds=start, unread=unread)

    def grown(before, after):
        found = measure_growth(before, after)
        return found.counts[GENERATED], found.histograms[ACCOUNT, Signal.TTFT].count

    assert grown(of(100.0, 50.0, 3), of(200.0, 70.0, 9)) == (70.0, 9.0)
    blind = replace(of(100.0, 50.0, 3, frozenset({GENERATED.signal, TTFT.signal})), counters={}, histograms={})
    assert grown(blind, of(200.0, 70.0, 9)) == (70.0, 9.0)
    assert grown(blind, of(100.0, 70.0, 9)) == (0.0, 0.0)
    assert grown(of(100.0, 50.0, 3), of(100.0, 70.0, 9)) == (20.0, 6.0)
    assert grown(of(100.0, 50.0, 3), of(None, 70.0, 9)) == (20.0, 6.0)
