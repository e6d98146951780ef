"""SLOs and prices that change at run time: what continues, what restarts, and that bounds stay true."""

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
DOLLARS, EUROS = Tariff("USD", price_per_gpu_hour=3600.0), Tariff("EUR", price_per_gpu_hour=3600.0)


class Story(Fold):
    """One server that finishes `done` requests with these times to first token, and has `running` ones."""

    def at(self, now: float, ttft: list[float], done: int, running: float = 0.0, server: str = "a") -> None:
        reading = page(
            server,
            now,
            finished(Outcome.SUCCESS, float(done)),
            gauges={(Signal.REQUESTS_RUNNING, MODEL): running, (Signal.REQUESTS_WAITING, MODEL): 0.0},
            histograms={SeriesId(signal=Signal.TTFT, model=MODEL): histogram(ttft, EDGES)},
        )
        self.tick(now, gpus(gpu(0, now, int(now * 1000))), served(reading))

    def change(self, **changes: object) -> None:
        after = replace(self.policy, **changes)  # type: ignore[arg-type]
        self.state, self.policy = apply_policy(self.state, self.policy, after), after


def total(story: Story, slo: str) -> tuple[float, float, float] | None:
    totals = story.snapshots[-1].ledger.slos.get(SloKey(A, slo))
    return None if totals is None else (totals.eligible, totals.good_lower, totals.good_upper)


def begun(*slos: Slo) -> Story:
    """Return two windows of 10 s with 3 good requests and a slow one."""
    story = Story(Policy(window_seconds=10.0, slos=slos, tariff=DOLLARS, carbon=Carbon(400.0)))
    story.at(0.0, [], 0)
    story.at(5.0, [0.1, 0.2], 2)
    story.at(10.0, [0.1, 0.2, 0.3, 1.5], 4)
    return story


def test_an_slo_with_the_same_terms_continues():
    """Evidence and totals of an SLO with the same thresholds continue, even if its objective share changes."""
    story = begun(FAST)
    assert total(story, "fast") == (4.0, 3.0, 3.0)
    story.change(slos=(replace(FAST, objective=0.5), SLOW))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    assert total(story, "fast") == (5.0, 4.0, 4.0)
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(replace(FAST, objective=0.5), SLOW))) == ()


def test_an_slo_with_other_thresholds_restarts():
    """With other thresholds the totals restart from 0 under the same name, and the log can report it."""
    story, other = begun(FAST), replace(SLOW, name="fast")
    story.change(slos=(other,))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 1.7], 5)
    assert total(story, "fast") == (1.0, 1.0, 1.0)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 1.7], 5)
    assert total(story, "fast") == (1.0, 1.0, 1.0)
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(other,))) == (
        "slo fast: its thresholds or conventions changed, so its counts restart from 0",
    )


def test_a_removed_slo_leaves_nothing():
    """It has neither totals nor live figures, and the fold continues without it."""
    story = begun(FAST, SLOW)
    story.change(slos=(SLOW,))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    shown = story.snapshots[-1]
    assert total(story, "fast") is None and total(story, "slow") is not None
    assert {key.slo for key in [*shown.slo_live, *shown.ledger.evidence, *story.state.first_tokens]} == {"slow"}


def test_an_slo_that_no_longer_applies_to_an_account_leaves_nothing_there():
    """Narrowed patterns drop accounts; widened patterns start there."""
    story = begun(FAST)
    story.change(slos=(replace(FAST, servers=("b",)),))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 0.1], 5)
    assert story.snapshots[-1].ledger.slos == {}
    story.change(slos=(FAST,))
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 0.1, 0.1], 6)
    assert story.snapshots[-1].slo_live[SloKey(A, "fast")].eligible == 1.0


def test_a_new_slo_allows_for_requests_in_flight():
    """Bounds of an SLO that starts later are true: a request with an earlier first token is possibly bad and possibly
    good."""
    story = begun()
    story.at(15.0, [0.1, 0.2, 0.3, 1.5, 1.9], 4, running=1.0)  # its slow first token came before the objective
    story.change(slos=(FAST,))
    story.at(20.0, [0.1, 0.2, 0.3, 1.5, 1.9], 5)
    live = story.snapshots[-1].slo_live[SloKey(A, "fast")]
    assert (live.eligible, live.good_lower, live.good_upper) == (1.0, 0.0, 1.0)
    story.at(30.0, [0.1, 0.2, 0.3, 1.5, 1.9], 5)
    assert total(story, "fast") == (1.0, 0.0, 1.0)


def test_the_live_window_restarts_with_the_slos():
    """After a change of SLOs the live window starts at the last tick before it."""
    story = begun(FAST)
    story.change(slos=(SLOW,))
    story.at(12.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert story.snapshots[-1].live[A].seconds == 2.0
    story.change(interval_seconds=1.0)
    story.at(14.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert story.snapshots[-1].live[A].seconds == 4.0


def test_a_new_slo_starts_only_where_there_is_a_page():
    """An account without a page of its server gets no evidence."""
    story = begun()
    story.state = replace(story.state, engines={})
    story.change(slos=(FAST,))
    assert story.state.ledger.evidence == {}


def test_the_policy_may_change_before_the_first_tick():
    """A start with nothing known stays one."""
    story = Story(Policy())
    story.change(slos=(FAST,), tariff=EUROS)
    assert (story.state.marks, story.state.ledger.evidence) == ((), {})


def test_another_currency_restarts_cost_without_a_negative_rate():
    """Euros are not added to dollars; a new price in the same currency is."""
    story = begun(FAST)
    story.change(tariff=Tariff("USD", price_per_gpu_hour=7200.0))
    story.at(15.0, [0.1, 0.2, 0.3, 1.5], 4)
    assert sum(story.snapshots[-1].ledger.cost.values()) == 20.0
    story.change(tariff=EUROS)
    story.at(20.0, [0.1, 0.2, 0.3, 1.5], 4)
    shown = story.snapshots[-1]
    assert sum(shown.ledger.cost.values()) == 5.0 and shown.live[A].cost_per_second == 1.0
    assert describe_resets(Policy(tariff=DOLLARS), Policy(tariff=EUROS)) == (
        "cost: the currency changed, so its counts restart from 0",
    )
    assert describe_resets(Policy(tariff=DOLLARS), Policy()) == ()


def test_cost_without_a_price_and_carbon_without_an_intensity_are_absent():
    """Without a configured price or intensity the counts are absent, not frozen."""
    story = begun(FAST)
    assert story.snapshots[-1].ledger.cost and story.snapshots[-1].ledger.carbon_grams
    story.change(tariff=None, carbon=None)
    story.at(15.0, [0.1, 0.2, 0.3, 1.5], 4)
    ledger = story.snapshots[-1].ledger
    assert (ledger.cost, ledger.carbon_grams, ledger.unattributed_carbon_grams) == ({}, {}, None)


def recorded(*slos: Slo) -> Story:
    """Return three requests with records, two of them fast, over three ticks."""
    story = Story(Policy(window_seconds=10.0, slos=slos))
    for now, ttft in ((0.0, 0.1), (5.0, 0.2), (10.0, 1.5)):
        story.tick(now, served(page("a", now, finished(Outcome.SUCCESS, 1.0))), records_result(now, record(ttft)))
    return story


def exact(story: Story, slo: str) -> tuple[int, int] | None:
    totals = story.state.ledger.exact.get(SloKey(A, slo))
    return None if totals is None else (totals.eligible, totals.good)


def test_exact_totals_continue_under_the_same_terms_and_restart_under_others():
    """As with bounds, another objective share changes nothing, other thresholds and conventions restart. Where an SLO
    is new totals start at 0; where it no longer applies they are gone."""
    story = recorded(FAST)
    story.change(slos=(replace(FAST, objective=0.5), SLOW))
    assert (exact(story, "fast"), exact(story, "slow")) == ((3, 2), (0, 0))
    story.change(slos=(replace(FAST, errors=Errors.EXCLUDE), replace(SLOW, models=("qwen*",))))
    assert (exact(story, "fast"), exact(story, "slow")) == ((0, 0), None)
    story.tick(15.0, served(page("a", 15.0)), records_result(15.0, record()))
    assert exact(story, "fast") == (1, 1)
    assert story.snapshots[-1].exact_live[SloKey(A, "fast")].good == 1


def test_latency_histograms_restart_if_their_edges_change():
    """A threshold on a default edge changes nothing; another one restarts that signal's histogram, and the log reports
    it."""
    story, odd = recorded(FAST), replace(SLOW, thresholds=(Threshold(Signal.TTFT, 0.77),))
    story.change(slos=(FAST, SLOW))
    assert story.state.ledger.latencies[A, Signal.TTFT].count == 3.0
    story.change(slos=(FAST, odd))
    found = story.state.ledger.latencies
    assert 0.77 in found[A, Signal.TTFT].edges and found[A, Signal.TTFT].count == 0.0
    assert found[A, Signal.E2E].count == 3.0
    assert describe_resets(Policy(slos=(FAST, SLOW)), Policy(slos=(FAST, odd)))[1:] == (
        "latency histograms from records: those whose edges changed with the thresholds restart from 0",
    )


def test_changed_conventions_are_reported():
    """The log names an SLO with changed conventions like one with changed thresholds."""
    assert describe_resets(Policy(slos=(FAST,)), Policy(slos=(replace(FAST, errors=Errors.EXCLUDE),))) == (
        "slo fast: its thresholds or conventions changed, so its counts restart from 0",
    )
