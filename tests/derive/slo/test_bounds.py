"""Bounds on good requests, by example."""

import pytest

from goodwatt.derive.slo.bounds import (
    PageEvidence,
    applies,
    bounds_over_range,
    empty_evidence,
    extend_evidence,
    unseen_first_tokens,
)
from goodwatt.derive.slo.histogram_evidence import in_flight
from goodwatt.model.engine import EngineTraits, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, FirstTokens, Marginal, SloKey, SloTotals
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Errors, Slo, Threshold
from tests.fakes.readings import MODEL, Fold, counter, finished, histogram, page, served, silent

ACCOUNT = Account("a", MODEL)
EDGES = (0.5, 1.0, 2.0)
TTFT, E2E = Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 2.0)
BOTH = Slo(name="both", thresholds=(TTFT, E2E), objective=0.9)
END_ONLY = Slo(name="e2e", thresholds=(E2E,), objective=0.9)
FIRST_ONLY = Slo(name="ttft", thresholds=(TTFT,), objective=0.9)
RUNNING, WAITING = (Signal.REQUESTS_RUNNING, MODEL), (Signal.REQUESTS_WAITING, MODEL)


def exactly(count, observed):
    """A threshold on an edge: how many met it is known."""
    return Marginal(count, count, observed)


def bounds_of(slo, *pages, waiting=None):
    """Eligible, lower and upper after these pages, and the first tokens that still wait."""
    evidence, waiting = empty_evidence(slo), waiting or FirstTokens()
    for one in pages:
        evidence, waiting = extend_evidence(evidence, waiting, slo, one)
    return three(evidence.totals), waiting


def three(totals):
    return totals.eligible, totals.good_lower, totals.good_upper


def added(*marginals, **counts):
    return PageEvidence(marginals=marginals, **counts)


def lines(ttft, e2e, succeeded, *others, at=0.0, running=0.0):
    """Return a page with two histograms and a counter of finished requests."""
    return served(
        page(
            "a",
            at,
            finished(Outcome.SUCCESS, succeeded),
            *others,
            gauges={RUNNING: running, WAITING: 0.0},
            histograms={
                SeriesId(signal=Signal.TTFT, model=MODEL): histogram(ttft, EDGES),
                SeriesId(signal=Signal.E2E, model=MODEL): histogram(e2e, EDGES),
            },
        )
    )


def test_on_edges_the_bounds_are_frechets():
    """10 requests, 8 within TTFT and 7 within E2E: between 8 + 7 - 10 and min(8, 7) were good."""
    found, waiting = bounds_of(BOTH, added(exactly(8.0, 10.0), exactly(7.0, 10.0), succeeded=10.0))
    assert found == (10.0, 5.0, 7.0) and waiting == FirstTokens()


def test_frechets_bounds_through_the_whole_fold():
    """A quiescent page with thresholds on edges gives max(0, a + b - n) and min(a, b), exactly."""
    fold = Fold(Policy(slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0, at=0.0))
    fold.tick(5.0, lines([0.4] * 8 + [0.6] * 2, [1.5] * 7 + [2.5] * 3, 10.0, at=5.0))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "both")]) == (10.0, 5.0, 7.0)


def test_one_threshold_on_an_edge_is_exact():
    """With one threshold that is observed at the end, lower and upper meet."""
    assert bounds_of(END_ONLY, added(exactly(7.0, 9.0), succeeded=9.0))[0] == (9.0, 7.0, 7.0)


def test_the_lower_bound_is_never_negative():
    """Two halves that need not overlap give 0, not less."""
    assert bounds_of(BOTH, added(exactly(4.0, 10.0), exactly(4.0, 10.0), succeeded=10.0))[0][1] == 0.0


def test_success_is_one_of_the_conditions():
    """Errors are eligible and never good; cancelled requests are neither."""
    page_ = added(exactly(10.0, 10.0), exactly(10.0, 10.0), succeeded=6.0, failed=3.0, cancelled=1.0)
    assert bounds_of(BOTH, page_)[0] == (9.0, 6.0, 6.0)


def test_inside_a_bucket_both_edges_count():
    """A threshold inside a bucket is certain below it and possible above it."""
    assert bounds_of(END_ONLY, added(Marginal(3.0, 8.0, 10.0), succeeded=10.0))[0] == (10.0, 3.0, 8.0)


def test_a_first_token_that_met_its_threshold_waits_for_its_end():
    """Two good first tokens in flight: their ends, pages later, are certainly good, and no range is charged."""
    first = added(exactly(2.0, 2.0), in_flight=2.0)
    found, waiting = bounds_of(FIRST_ONLY, first)
    assert found == (0.0, 0.0, 0.0)
    assert waiting == FirstTokens(unmatched_good=2.0, unmatched=2.0, good_in_flight=2.0)
    quiet = added(exactly(0.0, 0.0), in_flight=2.0)
    ends = added(exactly(0.0, 0.0), succeeded=2.0)
    assert bounds_of(FIRST_ONLY, first, quiet, ends) == ((2.0, 2.0, 2.0), FirstTokens())


def test_a_bad_first_token_costs_the_next_end():
    """One of three in flight missed its threshold: the first end may be its own, so only two are certainly good."""
    first = added(exactly(2.0, 3.0), in_flight=3.0)
    one = added(exactly(0.0, 0.0), succeeded=1.0, in_flight=2.0)
    assert bounds_of(FIRST_ONLY, first, one)[0] == (1.0, 0.0, 1.0)
    assert bounds_of(FIRST_ONLY, first, one, added(exactly(0.0, 0.0), succeeded=2.0))[0] == (3.0, 2.0, 2.0)


def test_a_bad_first_token_whose_client_hung_up_is_dropped_when_nothing_is_in_flight():
    """It never ends, and it costs no later request anything."""
    gone = added(exactly(0.0, 1.0), in_flight=0.0)
    assert bounds_of(FIRST_ONLY, gone, added(exactly(1.0, 1.0), succeeded=1.0))[0] == (1.0, 1.0, 1.0)


def test_an_end_without_an_observed_first_token_may_be_good():
    """The request was in flight before anything was read, or the engine times streams only."""
    assert bounds_of(FIRST_ONLY, added(exactly(0.0, 0.0), succeeded=2.0))[0] == (2.0, 2.0, 2.0)
    waiting = unseen_first_tokens(2.0)
    assert bounds_of(FIRST_ONLY, added(exactly(0.0, 0.0), succeeded=2.0), waiting=waiting)[0] == (2.0, 0.0, 2.0)


def test_a_range_is_charged_once_for_what_was_in_flight():
    """A range that begins with one bad first token in flight subtracts 1, whatever its length."""
    start = SloTotals(eligible=10.0, good_lower=8.0, good_upper=9.0, good_at_end=9.0)
    in_flight = FirstTokens(bad_in_flight=1.0, good_in_flight=2.0)
    now = SloTotals(eligible=30.0, good_lower=25.0, good_upper=27.0, good_at_end=28.0)
    assert three(bounds_over_range(start, in_flight, now)) == (20.0, 16.0, 19.0)
    assert three(bounds_over_range(start, in_flight, start)) == (0.0, 0.0, 0.0)
    assert three(bounds_over_range(start, FirstTokens(good_in_flight=9.0), now)) == (20.0, 17.0, 19.0)


def test_a_first_token_that_is_still_unmatched_is_not_charged():
    """A range may begin at any page: what is still in a pot will be matched in the range, and costs it nothing else."""
    bad = added(exactly(0.0, 1.0), in_flight=3.0)
    _, waiting = bounds_of(FIRST_ONLY, added(exactly(2.0, 2.0), in_flight=2.0), bad)
    assert (waiting.bad_charge, waiting.good_charge) == (0.0, 0.0)
    _, waiting = bounds_of(FIRST_ONLY, bad, added(exactly(0.0, 0.0), succeeded=1.0, in_flight=2.0))
    assert (waiting.bad_charge, waiting.good_charge) == (1.0, 0.0)
    unseen = unseen_first_tokens(5.0)
    assert (unseen.bad_charge, unseen.good_charge) == (0.0, 0.0)


def test_a_success_that_the_histogram_left_out_may_have_met_the_threshold():
    """An engine that skips one-token outputs in TPOT: they are possibly good, and not certainly."""
    tpot = Slo(name="tpot", thresholds=(Threshold(Signal.TPOT, 0.5),), objective=0.9)
    assert bounds_of(tpot, added(exactly(3.0, 4.0), succeeded=6.0))[0] == (6.0, 3.0, 5.0)


def test_an_observation_without_a_counted_end_is_not_certainly_good():
    """More E2E observations than ends: the surplus may be the fast ones."""
    assert bounds_of(END_ONLY, added(exactly(5.0, 6.0), succeeded=4.0))[0] == (4.0, 3.0, 4.0)


def test_a_page_without_ends_has_no_good_requests():
    """Nothing finished: nothing is eligible, whatever is in flight."""
    assert bounds_of(BOTH, added(exactly(2.0, 2.0), Marginal(), in_flight=9.0))[0] == (0.0, 0.0, 0.0)


def test_a_slo_without_thresholds_counts_successes():
    """With no threshold to meet, good is succeeded."""
    every = Slo(name="any", thresholds=(), objective=0.9)
    assert bounds_of(every, added(succeeded=4.0, failed=1.0))[0] == (5.0, 4.0, 4.0)


def test_the_populations_behind_the_bounds_are_counted():
    """First tokens and ends, so that the live window can show how far they differ."""
    evidence, _ = extend_evidence(
        empty_evidence(BOTH),
        FirstTokens(),
        BOTH,
        added(exactly(1.0, 2.0), exactly(7.0, 12.0), succeeded=6.0, failed=1.0, cancelled=1.0),
    )
    assert (evidence.totals.first_tokens, evidence.totals.finished) == (2.0, 8.0)
    assert evidence.marginals == (exactly(1.0, 2.0), exactly(7.0, 12.0))


@pytest.mark.parametrize(
    ("servers", "models", "expected"),
    [
        (("*",), ("*",), True),
        (("a",), ("llama-*",), True),
        (("b", "a"), ("qwen", "*-8b"), True),
        (("b",), ("*",), False),
        (("*",), ("LLAMA-*",), False),
        ((), ("*",), False),
    ],
)
def test_patterns_choose_servers_and_models(servers, models, expected):
    """An SLO selects servers and models by case-sensitive shell patterns; both must match."""
    assert (
        applies(Slo(name="s", thresholds=(), objective=0.9, models=models, servers=servers), "a", "llama-8b")
        is expected
    )


def test_totals_exist_as_zero_and_move_with_every_page():
    """From the first complete page on there is a 0; every later page moves eligible and good in the same tick."""
    fold = Fold(Policy(window_seconds=10.0, slos=(BOTH,)))
    key, seen = SloKey(ACCOUNT, "both"), []
    for n in range(5):
        snapshot = fold.tick(5.0 * n, lines([0.4] * n, [1.5] * n, float(n), at=5.0 * n))
        seen.append(three(snapshot.ledger.slos[key]))
    assert seen == [(float(n),) * 3 for n in range(5)]
    assert [s.slo_live[key].eligible for s in fold.snapshots[1:]] == [1.0, 2.0, 2.0, 2.0]
    assert fold.snapshots[0].slo_live == {}


def test_a_late_tick_leaves_nothing_out():
    """When ticks are late the next page covers all the time since the one before."""
    fold = Fold(Policy(window_seconds=10.0, slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0))
    fold.tick(47.0, lines([0.4] * 3, [1.5] * 3, 3.0, at=47.0))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "both")]) == (3.0, 3.0, 3.0)


def test_a_silent_server_adds_nothing_until_its_next_page():
    """While a server does not answer, totals stay; its next page brings what it finished meanwhile."""
    fold = Fold(Policy(window_seconds=5.0, slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0))
    for now in (5.0, 10.0, 15.0, 20.0):
        fold.tick(now, silent("a"))
        assert fold.state.ledger.slos[SloKey(ACCOUNT, "both")] == SloTotals()
    fold.tick(25.0, lines([0.4] * 3, [1.5] * 3, 3.0, at=25.0))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "both")]) == (3.0, 3.0, 3.0)


def test_a_perfect_service_is_certified_whatever_is_in_flight():
    """Forty requests always in flight and every latency within its threshold: lower, upper and eligible stay equal."""
    fold = Fold(Policy(window_seconds=10.0, slos=(BOTH,)))
    for n in range(20):
        fold.tick(
            5.0 * n, lines([0.4] * (40 + 10 * n), [1.5] * 10 * n, 10.0 * n, at=5.0 * n, running=40.0 if n else 0.0)
        )
    totals = fold.state.ledger.slos[SloKey(ACCOUNT, "both")]
    assert three(totals) == (190.0, 190.0, 190.0)
    live = fold.snapshots[-1].slo_live[SloKey(ACCOUNT, "both")]
    assert (live.good_lower, live.good_upper) == (live.eligible, live.eligible)


def test_a_slo_on_a_signal_that_the_engine_lacks_has_no_totals():
    """Without a TPOT histogram an SLO on TPOT has no totals, not 0."""
    tpot, other = (
        Slo(name="tpot", thresholds=(Threshold(Signal.TPOT, 0.1),), objective=0.9),
        Slo(name="else", thresholds=(E2E,), objective=0.9, servers=("b",)),
    )
    fold = Fold(Policy(window_seconds=5.0, slos=(BOTH, tpot, other)))
    for n in range(3):
        snapshot = fold.tick(5.0 * n, lines([0.4] * n, [1.5] * n, float(n), at=5.0 * n))
        assert {key.slo for key in (*snapshot.ledger.slos, *snapshot.slo_live)} == {"both"}


def test_without_a_request_counter_the_e2e_histogram_counts():
    """On an engine that counts no finished requests, e2e observations are successes."""
    fold = Fold(Policy(window_seconds=5.0, slos=(Slo(name="e2e", thresholds=(E2E,), objective=0.9),)))
    for n, e2e in enumerate([[], [1.5, 2.5]]):
        seen = {SeriesId(signal=Signal.E2E, model=MODEL): histogram(e2e, EDGES)}
        fold.tick(5.0 * n, served(page("a", 5.0 * n, counter(Signal.GENERATED_TOKENS, 0.0), histograms=seen)))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "e2e")]) == (2.0, 1.0, 1.0)


def test_a_page_with_only_histograms_has_bounds():
    """Without any counter the histograms still name the model and count its requests."""
    fold = Fold(Policy(window_seconds=5.0, slos=(Slo(name="e2e", thresholds=(E2E,), objective=0.9),)))
    for n, e2e in enumerate([[], [1.5, 2.5]]):
        fold.tick(
            5.0 * n,
            served(page("a", 5.0 * n, histograms={SeriesId(signal=Signal.E2E, model=MODEL): histogram(e2e, EDGES)})),
        )
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "e2e")]) == (2.0, 1.0, 1.0)


def test_first_tokens_before_the_e2e_series_exists_are_kept():
    """Two slow first tokens are observed before any e2e series exists; the requests that end later are not good.

    If counting began with the first page with every series, the fast first token of a third, unfinished request would
    be taken for theirs.
    """
    fold = Fold(Policy(window_seconds=5.0, slos=(BOTH,)))
    first, last = SeriesId(signal=Signal.TTFT, model=MODEL), SeriesId(signal=Signal.E2E, model=MODEL)
    gauges = {RUNNING: 0.0, WAITING: 0.0}
    fold.tick(0.0, served(page("a", 0.0, gauges=gauges)))
    seen = {first: histogram([0.9, 0.9], EDGES)}
    fold.tick(4.0, served(page("a", 4.0, gauges={**gauges, RUNNING: 2.0}, histograms=seen)))
    seen = {first: histogram([0.9, 0.9, 0.1], EDGES), last: histogram([1.5, 1.5], EDGES)}
    ended = finished(Outcome.SUCCESS, 2.0)
    fold.tick(5.0, served(page("a", 5.0, ended, gauges={**gauges, RUNNING: 1.0}, histograms=seen)))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "both")]) == (2.0, 0.0, 1.0)


def test_requests_in_flight_on_another_engines_first_page_have_no_observed_ttft():
    """Another engine takes over with a slow request in flight; another request's TTFT does not prove it good."""
    fold = Fold(Policy(window_seconds=10.0, slos=(Slo(name="ttft", thresholds=(TTFT,), objective=0.9),)))
    first = SeriesId(signal=Signal.TTFT, model=MODEL)

    def tick(now, ended, running, ttft, engine):
        gauges = {RUNNING: running, WAITING: 0.0}
        seen = {first: histogram(ttft, EDGES)}
        line = finished(Outcome.SUCCESS, ended)
        fold.tick(now, served(page("a", now, line, gauges=gauges, histograms=seen, engine=engine)))

    tick(0.0, 0.0, 0.0, [], "vllm")
    tick(5.0, 0.0, 1.0, [0.9], "sglang")
    tick(10.0, 1.0, 1.0, [0.9, 0.1], "sglang")
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "ttft")]) == (1.0, 0.0, 1.0)


FIRST, END = SeriesId(signal=Signal.TTFT, model=MODEL), SeriesId(signal=Signal.E2E, model=MODEL)
PREEMPTED = counter(Signal.PREEMPTIONS, 3.0)
TEN_FIRST = {FIRST: histogram([0.1] * 10, EDGES)}
LAGGING = EngineTraits(running_is_current=False)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (page("a", 0.0, PREEMPTED, gauges={RUNNING: 4.0, WAITING: 9.0}), 4.0 + 3.0),
        (page("a", 0.0, PREEMPTED, gauges={RUNNING: 4.0, WAITING: 2.0}), 4.0 + 2.0),
        (page("a", 0.0, gauges={RUNNING: 4.0, WAITING: 9.0}), 4.0 + 9.0),
        (page("a", 0.0, PREEMPTED, gauges={RUNNING: 4.0}), 4.0 + 3.0),
        (page("a", 0.0, finished(Outcome.SUCCESS, 6.0), gauges={RUNNING: 4.0}, histograms=TEN_FIRST), 10.0 - 6.0),
        (page("a", 0.0, finished(Outcome.ERROR, 6.0), gauges={WAITING: 4.0}, histograms=TEN_FIRST), 10.0),
        (
            page("a", 0.0, PREEMPTED, gauges={RUNNING: 1.0, WAITING: 9.0}, histograms=TEN_FIRST, traits=LAGGING),
            10.0,
        ),
        (page("a", 0.0, histograms={**TEN_FIRST, END: histogram([1.0] * 7, EDGES)}), 10.0 - 7.0),
        (page("a", 0.0, finished(Outcome.SUCCESS, 6.0)), 0.0),
        (page("a", 0.0, finished(Outcome.SUCCESS, 6.0, "qwen"), histograms=TEN_FIRST), 10.0),
    ],
)
def test_requests_in_flight_are_never_underestimated(reading, expected):
    """Running plus preempted, or where gauges are missing, every first token without a success."""
    assert in_flight(ACCOUNT, reading) == expected


@pytest.mark.parametrize(("errors", "eligible"), [(Errors.FAIL, 5.0), (Errors.EXCLUDE, 2.0)])
def test_requests_refused_at_admission_count_as_errors(errors, eligible):
    """A full queue refuses 3 requests: they are eligible and not good, unless the SLO leaves errors out."""
    slo = Slo(name="e2e", thresholds=(E2E,), objective=0.9, errors=errors)
    fold = Fold(Policy(slos=(slo,)))
    for at, refused, e2e in ((0.0, 0.0, []), (5.0, 3.0, [1.5, 1.5])):
        counts = finished(Outcome.SUCCESS, float(len(e2e))), finished(Outcome.REJECTED, refused)
        seen = {SeriesId(Signal.E2E, MODEL): histogram(e2e, EDGES)}
        fold.tick(at, served(page("a", at, *counts, histograms=seen)))
    assert three(fold.state.ledger.slos[SloKey(ACCOUNT, "e2e")]) == (eligible, 2.0, 2.0)
