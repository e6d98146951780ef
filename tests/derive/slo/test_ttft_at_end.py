"""Method "tick", by example: what the times observed at a request's end say about its TTFT."""

from dataclasses import replace

import pytest

from goodwatt.derive.page_growth import measure_growth
from goodwatt.derive.slo.ttft_at_end import ended_requests, ttft_at_end
from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, Marginal, SloKey, TickTotals
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.fakes.readings import MODEL, Fold, finished, histogram, page, served

ACCOUNT = Account("a", MODEL)
EDGES = (0.3, 0.5, 1.0, 2.5, 5.0, 10.0)
LIMIT, MARGIN = 0.45, 0.010
UNDECIDED = Marginal(0.0, 1.0, 1.0)
NAMES = (Signal.QUEUE_TIME, Signal.PREFILL_TIME, Signal.DECODE_TIME, Signal.E2E)


def observed(*requests, at=5.0, without=()):
    """A page after these requests ended, each given as queue, prefill, decode time and duration."""
    series = zip(NAMES, zip(*requests, strict=True) if requests else ((),) * 4, strict=True)
    return page(
        "a",
        at,
        finished(Outcome.SUCCESS, float(len(requests))),
        histograms={SeriesId(name, MODEL): histogram(seen, EDGES) for name, seen in series if name not in without},
    )


def judge(after, before=None, margin=MARGIN):
    growth = measure_growth(before or observed(at=0.0), after)
    return ttft_at_end(ended_requests(ACCOUNT, growth, margin), LIMIT)


def with_histogram(reading, signal, **changed):
    changes = {SeriesId(signal, MODEL): replace(reading.histograms[SeriesId(signal, MODEL)], **changed)}
    return replace(reading, histograms={**reading.histograms, **changes})


@pytest.mark.parametrize(
    ("ttft", "verdict"),
    [
        (0.20, Marginal(1.0, 1.0, 1.0)),
        (0.439, Marginal(1.0, 1.0, 1.0)),
        (0.441, UNDECIDED),
        (0.459, UNDECIDED),
        (0.461, Marginal(0.0, 0.0, 1.0)),
        (2.00, Marginal(0.0, 0.0, 1.0)),
    ],
)
def test_one_request_is_decided_outside_the_margin(ttft, verdict):
    """A single end gives its TTFT as E2E - decode; within the margin of the threshold it is undecided."""
    assert judge(observed((0.0, 0.1, 3.0, 3.0 + ttft))) == verdict


def test_several_requests_share_the_sum_of_their_ttfts():
    """Two requests with 0.6 s together: at most one exceeded 0.45 s, and perhaps none. With 0.4 s, none did."""
    assert judge(observed((0.0, 0.1, 3.0, 3.3), (0.0, 0.1, 3.0, 3.3))) == Marginal(1.0, 2.0, 2.0)
    assert judge(observed((0.0, 0.1, 3.0, 3.2), (0.0, 0.1, 3.0, 3.2))) == Marginal(2.0, 2.0, 2.0)
    assert judge(observed((0.0, 0.1, 3.0, 3.7), (0.0, 0.1, 3.0, 3.7))) == Marginal(0.0, 1.0, 2.0)


def test_queue_and_prefill_come_before_the_first_token():
    """Their sum limits the TTFT from below without a margin, and so does each one's bucket."""
    assert judge(observed((0.300, 0.152, 3.0, 3.455))) == Marginal(0.0, 0.0, 1.0)
    long, short = (0.8, 0.05, 1.0, 1.9), (0.0, 0.01, 1.0, 1.02)
    assert judge(observed(long, short)) == Marginal(0.0, 1.0, 2.0)
    assert judge(observed(long, short, short)).possible == 2.0


def test_nothing_ended_decides_nothing():
    """A page on which no request ended adds no observation, whether or not its histograms exist yet."""
    assert judge(observed()) == Marginal()
    assert judge(page("a", 5.0, finished(Outcome.SUCCESS, 0.0))) == Marginal()


def test_a_missing_prefill_or_queue_time_leaves_the_difference():
    """E2E - decode needs neither of them."""
    late = (0.0, 0.1, 3.0, 4.0)
    without = (Signal.QUEUE_TIME, Signal.PREFILL_TIME)
    assert judge(observed(late, without=without), observed(at=0.0, without=without)) == Marginal(0.0, 0.0, 1.0)


def test_without_decode_times_nothing_is_decided():
    """A request whose decode time is not on the page may be on either side."""
    gone = (Signal.DECODE_TIME,)
    assert judge(observed((0.0, 0.1, 3.0, 3.2), without=gone), observed(at=0.0, without=gone)) == UNDECIDED


@pytest.mark.parametrize("signal", [Signal.E2E, Signal.DECODE_TIME])
def test_a_sum_that_its_observations_cannot_have_is_ignored(signal):
    """A page that was read between the update of a bucket and of the sum decides nothing."""
    good = observed((0.0, 0.1, 3.0, 3.2))
    assert judge(with_histogram(good, signal, sum=0.0)) == UNDECIDED
    assert judge(with_histogram(good, signal, sum=None)) == UNDECIDED


def test_a_decode_time_that_lags_decides_nothing():
    """Where a page has more durations than decode times, the next page mixes the times of different requests."""
    one, two = (0.0, 0.1, 3.0, 3.2), (0.0, 0.1, 3.0, 6.0)
    lagging = observed(one, two)
    only_one = histogram([3.0], EDGES)
    lagging = with_histogram(lagging, Signal.DECODE_TIME, counts=only_one.counts, count=1.0, sum=3.0)
    assert judge(lagging) == Marginal(0.0, 2.0, 2.0)
    third = with_histogram(
        observed(one, two, one), Signal.DECODE_TIME, counts=(0.0,) * 4 + (2.0, 2.0), count=2.0, sum=6.0
    )
    assert judge(third, lagging) == UNDECIDED


def test_times_that_contradict_each_other_decide_nothing():
    """Queue and prefill times longer than E2E - decode, or a decode time longer than the duration, are not believed."""
    assert judge(observed((0.4, 0.4, 3.0, 3.2))) == UNDECIDED
    assert judge(observed((0.0, 0.0, 4.0, 3.2))) == UNDECIDED
    assert judge(observed((0.46, 0.0, 3.0, 3.452), (0.0, 0.0, 3.0, 3.0)), margin=0.0) == Marginal(0.0, 2.0, 2.0)


SLO = Slo(name="slo", thresholds=(Threshold(Signal.TTFT, LIMIT), Threshold(Signal.E2E, 5.0)), objective=0.9)


def totals(slo, *pages):
    fold = Fold(Policy(slos=(slo,)))
    for one in pages:
        fold.tick(one.at_seconds, served(one))
    return fold.state.ledger.evidence[SloKey(ACCOUNT, slo.name)].tick


def test_totals_start_at_zero_with_the_first_decode_time():
    """The counters exist at 0 from the first page on, so that no increase is lost, and cover every threshold."""
    late, slow, good = (0.0, 0.1, 3.0, 4.0), (0.0, 0.1, 5.9, 6.0), (0.0, 0.1, 3.0, 3.2)
    first = observed(at=0.0)
    assert totals(SLO, first) == TickTotals()
    assert totals(SLO, first, observed(good, at=1.0), observed(good, late, at=2.0)) == TickTotals(
        eligible=2.0, good_lower=1.0, good_upper=1.0
    )
    assert totals(SLO, first, observed(slow, at=1.0)) == TickTotals(eligible=1.0)


def test_method_tick_needs_a_ttft_threshold_and_decode_times():
    """Without either there are no totals."""
    pages = observed(at=0.0), observed((0.0, 0.1, 3.0, 3.2))
    assert totals(replace(SLO, thresholds=SLO.thresholds[1:]), *pages) is None
    gone = (Signal.DECODE_TIME,)
    assert totals(SLO, observed(at=0.0, without=gone), observed((0.0, 0.1, 3.0, 3.2), without=gone)) is None
