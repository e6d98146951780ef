"""Bounds on good requests, by example."""

import pytest

from goodwatt.derive.slo.bounds import applies, evidence_since, first_token_gap, slo_totals
from goodwatt.derive.slo.histogram_evidence import in_flight
from goodwatt.model.engine import EngineTraits, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, Marginal, SloEvidence, SloKey, SloTotals
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.fakes.readings import MODEL, Fold, counter, finished, histogram, page, served, silent

ACCOUNT = Account("a", MODEL)
EDGES = (0.5, 1.0, 2.0)
TTFT, E2E = Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 2.0)
BOTH = Slo(name="both", thresholds=(TTFT, E2E), objective=0.9)
RUNNING, WAITING = (Signal.REQUESTS_RUNNING, MODEL), (Signal.REQUESTS_WAITING, MODEL)


def exactly(count, seen):
    """Return the marginal of a threshold on an edge, where it is exact."""
    return Marginal(count, count, seen)


def window(*marginals, succeeded, failed=0.0, cancelled=0.0, in_flight_=0.0):
    return SloEvidence(
        marginals=marginals, succeeded=succeeded, failed=failed, cancelled=cancelled, in_flight=in_flight_
    )


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
    """Of 10 requests 8 met TTFT and 7 e2e: between 8 + 7 - 10 and min(8, 7) were good."""
    found = slo_totals(BOTH, window(exactly(8.0, 10.0), exactly(7.0, 10.0), succeeded=10.0))
    assert found == SloTotals(10.0, 5.0, 7.0)


def test_frechets_bounds_through_the_whole_fold():
    """With nothing in flight and thresholds on edges, the bounds are exactly max(0, a + b - n) and min(a, b)."""
    fold = Fold(Policy(window_seconds=5.0, slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0, at=0.0))
    fold.tick(5.0, lines([0.4] * 8 + [0.6] * 2, [1.5] * 7 + [2.5] * 3, 10.0, at=5.0))
    assert fold.state.ledger.slos == {SloKey(ACCOUNT, "both"): SloTotals(10.0, 5.0, 7.0)}


def test_one_threshold_on_an_edge_is_exact():
    """With one threshold, all succeeded and nothing in flight, lower = upper."""
    assert slo_totals(
        Slo(name="e2e", thresholds=(E2E,), objective=0.9), window(exactly(7.0, 9.0), succeeded=9.0)
    ) == SloTotals(9.0, 7.0, 7.0)


def test_lower_is_never_negative():
    """Two halves that need not overlap give 0, not less."""
    assert slo_totals(BOTH, window(exactly(4.0, 10.0), exactly(4.0, 10.0), succeeded=10.0)).good_lower == 0.0


def test_success_is_one_of_the_conditions():
    """Errors are eligible and never good; cancelled requests are neither."""
    found = slo_totals(BOTH, window(exactly(10.0, 10.0), exactly(10.0, 10.0), succeeded=6.0, failed=3.0, cancelled=1.0))
    assert found == SloTotals(9.0, 6.0, 6.0)


def test_inside_a_bucket_the_edges_give_the_bounds():
    """A threshold inside a bucket is certainly met below the bucket and possibly met within it."""
    found = slo_totals(
        Slo(name="e2e", thresholds=(E2E,), objective=0.9), window(Marginal(3.0, 8.0, 10.0), succeeded=10.0)
    )
    assert found == SloTotals(10.0, 3.0, 8.0)


def test_first_tokens_before_the_window_raise_the_upper_bound():
    """Two requests in flight when the window opened may have met the TTFT threshold before it."""
    ttft = Slo(name="ttft", thresholds=(TTFT,), objective=0.9)
    assert slo_totals(ttft, window(exactly(1.0, 3.0), succeeded=5.0)) == SloTotals(5.0, 1.0, 3.0)
    assert slo_totals(ttft, window(exactly(1.0, 3.0), succeeded=5.0, in_flight_=2.0)) == SloTotals(5.0, 1.0, 3.0)
    assert slo_totals(ttft, window(exactly(1.0, 5.0), succeeded=5.0, in_flight_=2.0)) == SloTotals(5.0, 0.0, 3.0)


def test_first_tokens_of_unfinished_requests_lower_the_lower_bound():
    """Of 8 first tokens, 3 belong to unfinished requests, which may be the fast ones."""
    ttft = Slo(name="ttft", thresholds=(TTFT,), objective=0.9)
    assert slo_totals(ttft, window(exactly(8.0, 8.0), succeeded=5.0)) == SloTotals(5.0, 5.0, 5.0)
    assert slo_totals(ttft, window(exactly(6.0, 8.0), succeeded=5.0)).good_lower == 3.0
    assert slo_totals(ttft, window(exactly(6.0, 8.0), succeeded=5.0, in_flight_=2.0)).good_lower == 1.0


def test_an_unobserved_request_may_have_met_the_threshold():
    """An engine that skips one-token outputs in TPOT: they are possibly good, not certainly."""
    tpot = Slo(name="tpot", thresholds=(Threshold(Signal.TPOT, 0.5),), objective=0.9)
    assert slo_totals(tpot, window(exactly(3.0, 4.0), succeeded=6.0)) == SloTotals(6.0, 3.0, 5.0)


def test_surplus_observations_may_be_the_fast_ones():
    """With more e2e observations than finished requests, the surplus is not certainly of this window."""
    assert slo_totals(
        Slo(name="e2e", thresholds=(E2E,), objective=0.9), window(exactly(5.0, 6.0), succeeded=4.0)
    ) == SloTotals(4.0, 3.0, 4.0)


def test_an_empty_window_has_no_good_requests():
    """Without finished requests there are 0 eligible ones, regardless of requests in flight."""
    assert slo_totals(BOTH, window(exactly(2.0, 2.0), Marginal(), succeeded=0.0, in_flight_=9.0)) == SloTotals()


def test_a_slo_without_thresholds_counts_successes():
    """With no threshold to meet, every success is good."""
    assert slo_totals(Slo(name="any", thresholds=(), objective=0.9), window(succeeded=4.0, failed=1.0)) == SloTotals(
        5.0, 4.0, 4.0
    )


def test_window_evidence_is_a_difference_plus_requests_in_flight():
    """A window has the evidence after its start; its requests in flight are those at its start and the adopted ones."""
    start = SloEvidence(
        marginals=(Marginal(1.0, 2.0, 3.0),), succeeded=4.0, failed=5.0, cancelled=6.0, in_flight=7.0, adopted=8.0
    )
    now = SloEvidence(
        marginals=(Marginal(11.0, 22.0, 33.0),),
        succeeded=44.0,
        failed=55.0,
        cancelled=66.0,
        in_flight=77.0,
        adopted=90.0,
    )
    assert evidence_since(start, now) == SloEvidence(
        marginals=(Marginal(10.0, 20.0, 30.0),), succeeded=40.0, failed=50.0, cancelled=60.0, in_flight=7.0 + 82.0
    )


def test_the_first_token_gap():
    """First tokens observed minus requests finished; unknown without a TTFT threshold."""
    seen = window(Marginal(0.0, 0.0, 2.0), exactly(7.0, 12.0), succeeded=6.0, failed=1.0, cancelled=1.0)
    assert first_token_gap(Slo(name="s", thresholds=(E2E, TTFT), objective=0.9), seen) == 4.0
    assert (
        first_token_gap(Slo(name="s", thresholds=(E2E,), objective=0.9), window(exactly(7.0, 12.0), succeeded=9.0))
        is None
    )


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


def test_totals_exist_as_zero_and_move_when_a_window_closes():
    """Totals are 0 from the first complete page on and change per window; the live figure changes before."""
    fold = Fold(Policy(window_seconds=10.0, slos=(BOTH,)))
    key, seen = SloKey(ACCOUNT, "both"), []
    for n in range(5):
        snapshot = fold.tick(5.0 * n, lines([0.4] * n, [1.5] * n, float(n), at=5.0 * n))
        seen.append(snapshot.ledger.slos[key].eligible)
    assert seen == [0.0, 0.0, 2.0, 2.0, 4.0]
    assert [s.slo_live[key].eligible for s in fold.snapshots[1:]] == [1.0, 2.0, 2.0, 2.0]
    assert fold.snapshots[0].slo_live == {}


def test_a_late_tick_closes_one_longer_window():
    """If ticks are late the window is longer, and no request is lost."""
    fold = Fold(Policy(window_seconds=10.0, slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0))
    fold.tick(47.0, lines([0.4] * 3, [1.5] * 3, 3.0, at=47.0))
    assert fold.state.ledger.slos[SloKey(ACCOUNT, "both")] == SloTotals(3.0, 3.0, 3.0)


def test_a_silent_server_closes_empty_windows():
    """While a server is silent its windows are empty; its finished requests are in the window of its next page."""
    fold = Fold(Policy(window_seconds=5.0, slos=(BOTH,)))
    fold.tick(0.0, lines([], [], 0.0))
    for now in (5.0, 10.0, 15.0, 20.0):
        fold.tick(now, silent("a"))
        assert fold.state.ledger.slos[SloKey(ACCOUNT, "both")] == SloTotals()
    fold.tick(25.0, lines([0.4] * 3, [1.5] * 3, 3.0, at=25.0))
    assert fold.state.ledger.slos[SloKey(ACCOUNT, "both")] == SloTotals(3.0, 3.0, 3.0)


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
    assert fold.state.ledger.slos == {SloKey(ACCOUNT, "e2e"): SloTotals(2.0, 1.0, 1.0)}


def test_a_page_with_only_histograms_has_bounds():
    """Without any counter the histograms still name the model and count its requests."""
    fold = Fold(Policy(window_seconds=5.0, slos=(Slo(name="e2e", thresholds=(E2E,), objective=0.9),)))
    for n, e2e in enumerate([[], [1.5, 2.5]]):
        fold.tick(
            5.0 * n,
            served(page("a", 5.0 * n, histograms={SeriesId(signal=Signal.E2E, model=MODEL): histogram(e2e, EDGES)})),
        )
    assert fold.state.ledger.slos == {SloKey(ACCOUNT, "e2e"): SloTotals(2.0, 1.0, 1.0)}


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
    assert fold.state.ledger.slos[SloKey(ACCOUNT, "both")] == SloTotals(2.0, 0.0, 1.0)


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
    assert fold.state.ledger.slos[SloKey(ACCOUNT, "ttft")] == SloTotals(1.0, 0.0, 1.0)


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
