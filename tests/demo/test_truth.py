import pytest

from goodwatt.demo.arrivals import Ending, Request
from goodwatt.demo.request_times import RequestTimes
from goodwatt.demo.truth import KEPT_RECORDS, GoodCount, Truth
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold
from tests.demo.builders import SECOND, drained, engine, load, spec

BOTH = (Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.1))


def record(ttft: float, tpot: float, tokens: int = 11, ending: Ending = Ending.STOP) -> RequestTimes:
    first = round(ttft * SECOND)
    return RequestTimes(Request(0, 0, 10, 0, tokens, ending), 0, first, first + round(tpot * SECOND) * (tokens - 1))


def test_a_request_on_the_thresholds_is_good_and_just_above_one_is_not() -> None:
    """Thresholds are inclusive, and a good request meets all of them."""
    truth = Truth()
    for one in (record(0.5, 0.1), record(0.500000001, 0.1), record(0.5, 0.100000001), record(0.6, 0.2)):
        truth.ended(one)
    assert truth.good(BOTH) == GoodCount(eligible=4, good=1, good_tokens=11)


def test_a_disconnected_request_is_on_neither_side() -> None:
    """A disconnected client is not eligible, however fast it was served."""
    truth = Truth()
    truth.ended(record(0.1, 0.01, ending=Ending.DISCONNECT))
    assert truth.good(BOTH) == GoodCount(0, 0, 0)
    assert (truth.succeeded, truth.disconnected) == (0, 1)


def test_end_to_end_latency_can_be_a_threshold() -> None:
    """E2E latency is from arrival to last token."""
    truth = Truth()
    truth.ended(record(0.5, 0.05))
    assert truth.good((Threshold(Signal.E2E, 1.0),)).good == 1
    assert truth.good((Threshold(Signal.E2E, 0.999),)).good == 0


def test_a_signal_that_is_no_latency_is_refused() -> None:
    """A threshold on a token count raises KeyError."""
    truth = Truth()
    truth.ended(record(0.5, 0.05))
    with pytest.raises(KeyError):
        truth.good((Threshold(Signal.GENERATED_TOKENS, 1.0),))


def test_a_watched_slo_agrees_with_a_recount() -> None:
    """Running counts equal those computed from the records."""
    slo = Slo(name="both", thresholds=(Threshold(Signal.TTFT, 0.03), Threshold(Signal.TPOT, 0.0085)), objective=0.95)
    some = engine(spec(load(8.0)))
    some.truth.watch(slo)
    some.advance(120 * SECOND)
    good = some.truth.good(slo.thresholds)
    assert some.truth.watched["both"] == (slo, good)
    assert 0 < good.good < good.eligible == some.truth.succeeded


def test_an_slo_watched_late_still_counts_the_whole_past() -> None:
    """A newly watched SLO includes the records kept so far."""
    some = drained(100)
    slo = Slo(name="late", thresholds=BOTH, objective=0.95)
    some.truth.watch(slo)
    assert some.truth.watched["late"][1].eligible == some.truth.succeeded > 0


def test_forgotten_requests_are_admitted_and_watched_ones_are_not_forgotten() -> None:
    """Once records have been dropped, counting a new SLO raises LookupError; a watched one stays exact."""
    truth = Truth()
    truth.watch(Slo(name="both", thresholds=BOTH, objective=0.95))
    for _ in range(KEPT_RECORDS + 1):
        truth.ended(record(0.1, 0.01))
    assert truth.watched["both"][1] == GoodCount(KEPT_RECORDS + 1, KEPT_RECORDS + 1, 11 * (KEPT_RECORDS + 1))
    with pytest.raises(LookupError, match="watch the SLO before"):
        truth.good(BOTH)
