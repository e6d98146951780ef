"""Pages read in the middle of an update are judged together with the next one."""

from dataclasses import replace

import pytest

from goodwatt.derive.policy_change import apply_policy
from goodwatt.derive.retention import forget_removed
from goodwatt.model.engine import EngineReading, EngineTraits, OneToken, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.fakes.readings import Fold, served

SLO = Slo(name="a", thresholds=(Threshold(Signal.TPOT, 0.05), Threshold(Signal.E2E, 5.0)), objective=0.9)
KEY = SloKey(Account("s", "m"), "a")


def page(succeeded: float, e2e: float, tpot: float, *, skips: bool = False, cancelled: float = 0.0) -> EngineReading:
    """A page that has counted so many successes and observed so many E2E and TPOT latencies, all of them good."""
    observed = ((Signal.E2E, 5.0, e2e), (Signal.TPOT, 0.05, tpot))
    return EngineReading(
        server="s",
        at_seconds=succeeded + e2e + tpot,
        engine="toy",
        traits=EngineTraits(one_token_tpot=OneToken.SKIPPED if skips else OneToken.ZERO),
        counters={
            SeriesId(Signal.REQUESTS, "m", outcome=Outcome.SUCCESS): succeeded,
            SeriesId(Signal.REQUESTS, "m", outcome=Outcome.CANCELLED): cancelled,
        },
        gauges={(Signal.REQUESTS_RUNNING, "m"): 0.0},
        histograms={
            SeriesId(signal, "m"): Histogram(edges=(edge,), counts=(count,), count=count, sum=None)
            for signal, edge, count in observed
        },
    )


def totals(*ticks: tuple[EngineReading, ...]) -> list[tuple[float, float, float]]:
    """Eligible and good requests, at least and at most, after each tick of one or several pages."""
    fold, found = Fold(Policy(slos=(SLO,))), []
    for n, pages in enumerate(ticks):
        fold.tick(float(n), served(replace(pages[-1], earlier=pages[:-1])))
        one = fold.state.ledger.slos[KEY]
        found.append((one.eligible, one.good_lower, one.good_upper))
    return found


@pytest.mark.parametrize("torn", [page(0, 1, 1), page(1, 0, 1), page(1, 1, 0), page(0, 0, 1)])
def test_a_torn_page_is_judged_with_the_next(torn: EngineReading) -> None:
    """Whatever is missing on it, the request is decided by the next page, and not before."""
    whole = page(1, 1, 1)
    assert totals((page(0, 0, 0),), (torn,), (whole,)) == [(0, 0, 0), (0, 0, 0), (1, 1, 1)]
    assert totals((page(0, 0, 0),), (torn, whole)) == [(0, 0, 0), (1, 1, 1)]


def test_a_page_is_held_once() -> None:
    """An engine that never observes some successes is judged a page later, but judged."""
    odd = [page(float(n), 0, 0) for n in range(5)]
    assert totals(*((each,) for each in odd)) == [(0, 0, 0), (0, 0, 0), (2, 0, 2), (2, 0, 2), (4, 0, 4)]


def test_what_is_normal_is_not_torn() -> None:
    """A cancelled request may or may not be observed, and some engines skip the TPOT of one-token outputs."""
    assert totals((page(0, 0, 0),), (page(1, 1, 1, cancelled=3),))[-1] == (1, 1, 1)
    assert totals((page(0, 0, 0),), (page(1, 2, 2, cancelled=3),))[-1] == (1, 1, 1)
    assert totals((page(0, 0, 0, skips=True),), (page(1, 1, 0, skips=True),))[-1][0] == 1


def test_another_engine_on_the_port() -> None:
    """A page that is held is judged alone when the next one is a baseline."""
    other = replace(page(7, 7, 7), engine="other")
    assert totals((page(0, 0, 0),), (page(1, 1, 0),), (other,))[-1] == (1, 0, 1)


def test_a_removed_servers_page_is_not_kept() -> None:
    """Nothing is held for a server that is no longer read."""
    fold = Fold(Policy(slos=(SLO,)))
    for n, each in enumerate((page(0, 0, 0), page(1, 0, 0))):
        fold.tick(float(n), served(each))
    assert set(fold.state.torn_pages) == {"s"}
    assert forget_removed(fold.state, set()).torn_pages == {}


def test_an_slo_that_is_added_while_a_page_is_held() -> None:
    """Its first tokens are unknown to the new SLO, so an end on the held page may have missed a TTFT threshold."""
    ttft = Slo(name="b", thresholds=(Threshold(Signal.TTFT, 1.0),), objective=0.9)
    first = Histogram(edges=(1.0,), counts=(1.0,), count=1.0, sum=None)

    def with_first(one: EngineReading) -> EngineReading:
        return replace(one, histograms={**one.histograms, SeriesId(Signal.TTFT, "m"): first})

    fold = Fold(Policy(slos=(SLO,)))
    for n, each in enumerate((page(0, 0, 0), page(1, 0, 0))):
        fold.tick(float(n), served(with_first(each)))
    after = Policy(slos=(SLO, ttft))
    fold.state = apply_policy(fold.state, fold.policy, after)
    fold.policy = after
    fold.tick(2.0, served(with_first(page(1, 1, 1))))
    added = fold.state.ledger.slos[SloKey(KEY.account, "b")]
    assert (added.eligible, added.good_lower, added.good_upper) == (1, 0, 1)
