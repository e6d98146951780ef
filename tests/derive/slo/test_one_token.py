"""One-token outputs under a TPOT threshold: each convention on each kind of engine, with and without their count."""

from dataclasses import replace

import pytest

from goodwatt.derive.slo.one_token import FinishedRequests, correct_for_one_token, without_excluded
from goodwatt.model.engine import EngineTraits, OneToken, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, Marginal, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from tests.fakes.readings import MODEL, Fold, counter, finished, histogram, page, served

PASS, FAIL, EXCLUDE = OneTokenOutputs
ZERO, SKIPPED = OneToken
KEY = SloKey(Account("a", MODEL), "slo")
EDGES = (0.5, 1.0, 2.0)


def slo(convention, **more):
    return Slo(
        name="slo", thresholds=(Threshold(Signal.TPOT, 1.0),), objective=0.9, one_token_outputs=convention, **more
    )


def judged(convention, engine, speeds, one_token, *, succeeded, failed=0.0, **more):
    """Eligible, lower and upper of one page on an engine that observed these times per output token."""
    fold = Fold(Policy(window_seconds=5.0, slos=(slo(convention, **more),)))
    for at, seen, of_one, good, bad in ((0.0, [], 0.0, 0.0, 0.0), (5.0, speeds, one_token, succeeded, failed)):
        counted_ends = [] if one_token is None else [counter(Signal.ONE_TOKEN_REQUESTS, of_one)]
        fold.tick(
            at,
            served(
                page(
                    "a",
                    at,
                    finished(Outcome.SUCCESS, good),
                    finished(Outcome.ERROR, bad),
                    *counted_ends,
                    gauges={(Signal.REQUESTS_RUNNING, MODEL): 0.0, (Signal.REQUESTS_WAITING, MODEL): 0.0},
                    histograms={SeriesId(signal=Signal.TPOT, model=MODEL): histogram(seen, EDGES)},
                    traits=EngineTraits(one_token_tpot=engine),
                )
            ),
        )
    totals = fold.state.ledger.slos[KEY]
    return totals.eligible, totals.good_lower, totals.good_upper


OBSERVED = [0.8] * 5 + [1.5] * 2  # seven requests of more tokens; five within the threshold
CASES = {
    # of 10 successes 3 have one token: all bounds meet
    (PASS, ZERO, 3.0): (10.0, 8.0, 8.0),
    (FAIL, ZERO, 3.0): (10.0, 5.0, 5.0),
    (EXCLUDE, ZERO, 3.0): (7.0, 5.0, 5.0),
    (PASS, SKIPPED, 3.0): (10.0, 8.0, 8.0),
    (FAIL, SKIPPED, 3.0): (10.0, 5.0, 5.0),
    (EXCLUDE, SKIPPED, 3.0): (7.0, 5.0, 5.0),
    # unknown how many: the bounds contain every case that the convention allows
    (PASS, ZERO, None): (10.0, 8.0, 8.0),
    (FAIL, ZERO, None): (10.0, 5.0, 8.0),
    (EXCLUDE, ZERO, None): (10.0, 5.0, 8.0),
    (PASS, SKIPPED, None): (10.0, 5.0, 8.0),
    (FAIL, SKIPPED, None): (10.0, 5.0, 8.0),
    (EXCLUDE, SKIPPED, None): (10.0, 5.0, 8.0),
}


@pytest.mark.parametrize(("convention", "engine", "one_token"), CASES, ids=str)
def test_each_convention_on_each_engine(convention, engine, one_token):
    """Where one-token outputs are counted the bounds meet under every convention; otherwise they contain every case."""
    observed = OBSERVED + ([0.0] * 3 if engine is ZERO else [])
    found = judged(convention, engine, observed, one_token, succeeded=10.0)
    assert found == CASES[convention, engine, one_token]


def test_failures_may_be_among_the_one_token_outputs():
    """Of 3 one-token requests 2 may be the 2 failures: one is certainly a success, and the bounds allow for both."""
    observed = [*OBSERVED, 0.0, 0.0, 0.0]
    assert judged(FAIL, ZERO, observed, 3.0, succeeded=8.0, failed=2.0) == (10.0, 3.0, 7.0)
    assert FinishedRequests(8.0, 2.0, 0.0, 3.0).one_token_successes == 1.0
    assert FinishedRequests(8.0, 2.0, 2.0, 3.0).one_token_successes == 0.0
    assert FinishedRequests(2.0, 0.0, 0.0, 3.0).one_token_successes == 2.0
    assert FinishedRequests(2.0, 0.0, 0.0).one_token_successes == 0.0


def test_a_slo_without_tpot_counts_them_like_any_other():
    """They have a TTFT, so the convention matters only under a TPOT threshold."""
    ttft = Slo(name="slo", thresholds=(Threshold(Signal.TTFT, 1.0),), objective=0.9, one_token_outputs=EXCLUDE)
    assert without_excluded(ttft, FinishedRequests(10.0, 0.0, 0.0, 3.0)) == FinishedRequests(10.0, 0.0, 0.0, 3.0)
    assert without_excluded(slo(EXCLUDE), FinishedRequests(10.0, 0.0, 0.0, 3.0)).succeeded == 7.0


def test_a_page_without_the_histogram_is_corrected_by_certain_successes_only():
    """An engine may write no histogram before its first observation; one-token outputs that it skips are counted."""
    ends = FinishedRequests(3.0, 0.0, 0.0, 3.0)
    assert correct_for_one_token(slo(PASS), Marginal(), None, ends, SKIPPED) == Marginal(3.0, 3.0, 3.0)
    assert correct_for_one_token(slo(FAIL), Marginal(), None, FinishedRequests(3.0, 0.0, 0.0), ZERO) == Marginal()
    without_edges = Histogram(edges=(), counts=(), count=4.0, sum=None)
    assert correct_for_one_token(
        slo(FAIL), Marginal(4.0, 4.0, 4.0), without_edges, FinishedRequests(4.0, 0.0, 0.0), ZERO
    ) == Marginal(0, 4, 4)


def test_errors_and_cancelled_requests_follow_the_conventions():
    """An excluded failure is not eligible; an included cancelled request is eligible and never good."""
    observed = [0.8] * 10
    assert judged(PASS, ZERO, observed, None, succeeded=8.0, failed=2.0, errors=Errors.EXCLUDE)[0] == 8.0
    assert judged(PASS, ZERO, observed, None, succeeded=8.0, failed=2.0)[0] == 10.0
    fold = Fold(Policy(window_seconds=5.0, slos=(slo(PASS, cancelled=Cancelled.FAIL),)))
    for at, gone in ((0.0, 0.0), (5.0, 4.0)):
        counted_ends = finished(Outcome.SUCCESS, gone), finished(Outcome.CANCELLED, gone)
        timed = {SeriesId(signal=Signal.TPOT, model=MODEL): histogram([0.8] * round(gone), EDGES)}
        fold.tick(at, served(page("a", at, *counted_ends, histograms=timed)))
    assert fold.state.ledger.slos[KEY].eligible == 8.0


def test_a_request_that_may_be_excluded_counts_as_good_by_the_upper_bound():
    """One success with a slow first token and perhaps one output token is eligible: the upper bound counts it."""
    both = replace(slo(EXCLUDE), thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 1.0)))
    fold = Fold(Policy(slos=(both,)))
    for at, seen, done in ((0.0, [], 0.0), (5.0, [0.9], 1.0)):
        speeds = [0.0] * len(seen)
        observed = {Signal.TTFT: histogram(seen, EDGES), Signal.TPOT: histogram(speeds, EDGES)}
        histograms = {SeriesId(signal=signal, model=MODEL): found for signal, found in observed.items()}
        fold.tick(at, served(page("a", at, finished(Outcome.SUCCESS, done), histograms=histograms)))
    totals = fold.state.ledger.slos[KEY]
    assert (totals.eligible, totals.good_lower, totals.good_upper) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("convention", [FAIL, EXCLUDE])
@pytest.mark.parametrize(("one_token", "upper"), [(None, 1.0), (1.0, 1.0)])
def test_an_observed_failure_does_not_stand_for_a_skipped_success(convention, one_token, upper):
    """One fast observation and two ends, one of them an error: the success may be the one-token output it skipped."""
    assert judged(convention, SKIPPED, [0.8], one_token, succeeded=1.0, failed=1.0) == (2.0, 0.0, upper)
