"""Objectives and prices that change while it runs: what goes on, what restarts, and that bounds stay true."""

from dataclasses import replace

from goodwatt.derive.policy_change import apply_policy, describe_resets
from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Errors, Slo, Threshold
from goodwatt.model.tariff import Carbon, Tariff
from tests.fakes.readings import MODEL, Fold, finished, gpu, gpus, histogram, page, record, records_result, served

A = Account("a", MODEL)
EDGES = (0.5, 1.0, 2.0)
FAST = Slo(name="fast", thresholds=(Threshold(Signal.TTFT, 0.5),), objective=0.9)
SLOW = Slo(name="slow", thresholds=(Threshold(Signal.TTFT, 2.0),), objective=0.9)
DOLLARS, EUROS = Tariff("USD", 3600.0), Tariff("EUR", 3600.0)


class Story(Fold):
    """One server that finishes `done` requests of these times to first token, with `running` under way."""

    def at(self, now: float, ttft: list[float], done: int, running: float = 0.0, server: str = "a") -> None:
        reading = page(
            server,
            now,
            finished(Outcome.SUCCESS, float(done)),
            gauges={(Signal.REQUESTS_RUNNING, MODEL): running, (Signal.REQUESTS_WAITING, MODEL): 0.0},
            histograms={SeriesId(signal=Signal.TTFT, model=MODEL): histogram(ttft, EDGES)},
        )
        self.tick(now, gpus(gpu(0, now, int(now * 1000))), served(reading))

    def rule(self, **changes: object) -> None:
        after = replace(self.policy, **changes)  # type: ignore[arg-type]
        self.state, self.policy = apply_policy(self.state, self.policy, after), after


def total(story: Story, slo: str) -> tuple[float, float, float] | None:
    totals = story.snapshots[-1].ledger.slos.get(SloKey(A, slo))
    return None if totals is None else (totals.eligible, totals.good_lower, totals.good_upper)


def begun(*slos: Slo) -> Story:
    """Two windows of 10 s in which 3 requests were good and 1 was slow."""
    story = Story(Policy(window_seconds=10.0, slos=slos, tariff=DOLLARS, carbon=Carbon(400.0)))
    story.at(0.0, [], 0)
    story.at(5.0, [0.1, 0.2], 2)
    story.at(10.0, [0.1, 0.2, 0.3, 1.5], 4)
    return story


def test_an_objective_that_stays_goes_on():
    """Evidence and totals of an objective with the same thresholds continue, whatever its promised share becomes."""
    story = begun(FAST)
    assert total(story, "fast") == (4.0, 3.0, 3.0)
    story.rule(slos=(replace(FAST, objective=0.5), SLOW))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    assert total(story, "fast") == (5.0, 4.0, 4.0)
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(replace(FAST, objective=0.5), SLOW))) == ()


def test_an_objective_with_other_thresholds_restarts():
    """Under the same name other thresholds are another promise: totals restart from 0, and the log can say so."""
    story, other = begun(FAST), replace(SLOW, name="fast")
    story.rule(slos=(other,))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 1.7], 5)
    assert total(story, "fast") == (0.0, 0.0, 0.0)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 1.7], 5)
    assert total(story, "fast") == (1.0, 1.0, 1.0)
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(other,))) == (
        "slo fast: its thresholds or conventions changed, so its counts restart from 0",
    )


def test_an_objective_that_is_gone_leaves_nothing():
    """Neither totals nor live figures of it remain, and the fold goes on without it."""
    story = begun(FAST, SLOW)
    story.rule(slos=(SLOW,))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    shown = story.snapshots[-1]
    assert total(story, "fast") is None and total(story, "slow") is not None
    assert {key.slo for key in [*shown.slo_live, *shown.ledger.evidence, *story.state.window_evidence]} == {"slow"}


def test_an_objective_that_no_longer_names_an_account_leaves_nothing_of_it():
    """Patterns that are narrowed drop what they no longer name; patterns that are widened begin there."""
    story = begun(FAST)
    story.rule(slos=(replace(FAST, servers=("b",)),))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    assert story.snapshots[-1].ledger.slos == {}
    story.rule(slos=(FAST,))
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 0.1, 0.1], 6)
    assert story.snapshots[-1].slo_live[SloKey(A, "fast")].eligible == 1.0


def test_a_new_objective_knows_the_requests_that_were_in_flight():
    """Bounds of an objective that begins in the middle stay true: requests whose first token came before count as
    possibly bad and possibly good."""
    story = begun()
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 1.9], 4, running=1.0)  # its slow first token came before the objective
    story.rule(slos=(FAST,))
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 1.9], 5)
    live = story.snapshots[-1].slo_live[SloKey(A, "fast")]
    assert (live.eligible, live.good_lower, live.good_upper) == (1.0, 0.0, 1.0)
    story.at(30.0, [0.1, 0.2, 0.3, 1.5, 1.9], 5)
    assert total(story, "fast") == (1.0, 0.0, 1.0)


def test_the_live_window_begins_anew_where_something_restarts():
    """After a change of objectives live figures look back to the last tick before it, not further."""
    story = begun(FAST)
    story.rule(slos=(SLOW,))
    story.at(12.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert story.snapshots[-1].live[A].seconds == 2.0
    story.rule(interval_seconds=1.0)
    story.at(14.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert story.snapshots[-1].live[A].seconds == 4.0


def test_an_account_whose_server_is_gone_gets_no_new_evidence():
    """A new objective begins only where a page is known."""
    story = begun()
    story.state = replace(story.state, engines={})
    story.rule(slos=(FAST,))
    assert story.state.ledger.evidence == {}


def test_rules_may_change_before_anything_was_read():
    """A start with nothing known stays one."""
    story = Story(Policy())
    story.rule(slos=(FAST,), tariff=EUROS)
    assert (story.state.marks, story.state.ledger.evidence) == ((), {})


def test_another_currency_restarts_money_and_never_shows_a_negative_rate():
    """Euros are not added to dollars; a new price in the same currency is."""
    story = begun(FAST)
    story.rule(tariff=Tariff("USD", 7200.0))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert sum(story.snapshots[-1].ledger.cost.values()) == 20.0
    story.rule(tariff=EUROS)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5], 4)
    shown = story.snapshots[-1]
    assert sum(shown.ledger.cost.values()) == 5.0 and shown.live[A].cost_per_second == 1.0
    assert describe_resets(Policy(tariff=DOLLARS), Policy(tariff=EUROS)) == (
        "cost: the currency changed, so its counts restart from 0",
    )
    assert describe_resets(Policy(tariff=DOLLARS), Policy()) == ()


def test_money_without_a_price_and_carbon_without_a_grid_are_gone():
    """What is no longer configured is absent, not frozen."""
    story = begun(FAST)
    assert story.snapshots[-1].ledger.cost and story.snapshots[-1].ledger.carbon_grams
    story.rule(tariff=None, carbon=None)
    story.at(15.0, [0.1, 0.2, 0.3, 1.5], 4)
    ledger = story.snapshots[-1].ledger
    assert (ledger.cost, ledger.carbon_grams, ledger.unattributed_carbon_grams) == ({}, {}, None)


def recorded(*slos: Slo) -> Story:
    """Three requests with records, of which two were quick, and two ticks behind them."""
    story = Story(Policy(window_seconds=10.0, slos=slos))
    for now, ttft in ((0.0, 0.1), (5.0, 0.2), (10.0, 1.5)):
        story.tick(now, served(page("a", now, finished(Outcome.SUCCESS, 1.0))), records_result(now, record(ttft)))
    return story


def exact(story: Story, slo: str) -> tuple[int, int] | None:
    totals = story.state.ledger.exact.get(SloKey(A, slo))
    return None if totals is None else (totals.eligible, totals.good)


def test_exact_totals_go_on_under_the_same_terms_and_restart_under_others():
    """As with bounds: a promised share is no other promise, while thresholds and conventions are; what is new to an
    account begins at 0, and what no longer names it is gone."""
    story = recorded(FAST)
    story.rule(slos=(replace(FAST, objective=0.5), SLOW))
    assert (exact(story, "fast"), exact(story, "slow")) == ((3, 2), (0, 0))
    story.rule(slos=(replace(FAST, errors=Errors.EXCLUDE), replace(SLOW, models=("qwen*",))))
    assert (exact(story, "fast"), exact(story, "slow")) == ((0, 0), None)
    story.tick(15.0, served(page("a", 15.0)), records_result(15.0, record()))
    assert exact(story, "fast") == (1, 1)
    assert story.snapshots[-1].exact_live[SloKey(A, "fast")].good == 1


def test_latency_histograms_restart_where_a_threshold_gives_them_other_edges():
    """A threshold on the ladder changes nothing; another one begins that signal's histogram anew, and it is said."""
    story, odd = recorded(FAST), replace(SLOW, thresholds=(Threshold(Signal.TTFT, 0.77),))
    story.rule(slos=(FAST, SLOW))
    assert story.state.ledger.latencies[A, Signal.TTFT].count == 3.0
    story.rule(slos=(FAST, odd))
    found = story.state.ledger.latencies
    assert 0.77 in found[A, Signal.TTFT].edges and found[A, Signal.TTFT].count == 0.0
    assert found[A, Signal.E2E].count == 3.0
    assert describe_resets(Policy(slos=(FAST, SLOW)), Policy(slos=(FAST, odd)))[1:] == (
        "latency histograms from records: those whose edges changed with the thresholds restart from 0",
    )


def test_other_conventions_are_another_promise():
    """The log names an objective whose conventions changed, as it names one whose thresholds did."""
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(replace(FAST, errors=Errors.EXCLUDE),))) == (
        "slo fast: its thresholds or conventions changed, so its counts restart from 0",
    )
