"""The margin of method "tick": learned from windows at both ends of which no request was in flight."""

from dataclasses import replace
from math import sqrt

import pytest

from goodwatt.derive.page_growth import measure_growth
from goodwatt.derive.retention import cap_accounts, forget_removed
from goodwatt.derive.slo.tick_margin import (
    UNLEARNED_SECONDS,
    WINDOWS_KEPT,
    WINDOWS_TO_LEARN,
    TickMargin,
    learn_margins,
)
from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account
from goodwatt.model.policy import Policy
from goodwatt.model.source import server_source
from tests.fakes.readings import MODEL, Fold, counter, finished, histogram, page, served

ACCOUNT = Account("a", MODEL)
EDGES = (0.5, 1.0, 10.0)
DECODE = 2.0


class Engine:
    """An engine that ran requests of 0.4 s to the first token whose E2E - decode is off by a known time."""

    def __init__(self) -> None:
        self.at, self.running, self.ttft, self.e2e, self.decode = 0.0, 0.0, [], [], []

    def ran(self, *off, hung_up=0):
        for each in off:
            self.ttft.append(0.4)
            self.e2e.append(0.4 + DECODE + each)
            self.decode.append(DECODE)
        self.ttft += [0.4] * hung_up
        return self

    def page(self, running=0.0, engine="vllm"):
        self.at += 1.0
        seen = {Signal.TTFT: self.ttft, Signal.E2E: self.e2e, Signal.DECODE_TIME: self.decode}
        return page(
            "a",
            self.at,
            finished(Outcome.SUCCESS, float(len(self.e2e))),
            gauges={(Signal.REQUESTS_RUNNING, MODEL): running, (Signal.REQUESTS_WAITING, MODEL): 0.0},
            histograms={SeriesId(signal, MODEL): histogram(values, EDGES) for signal, values in seen.items()},
            engine=engine,
        )


def margin_after(*pages):
    growths = [measure_growth(before, after) for before, after in zip((None, *pages), pages, strict=False)]
    return learn_margins({}, growths)[ACCOUNT]


def test_before_enough_windows_the_margin_is_ten_milliseconds():
    """One window fewer than enough changes nothing, and one more makes it twice the largest deviation."""
    engine = Engine()
    first = engine.page()
    windows = [engine.ran(0.0003 * (n % 5)).page() for n in range(WINDOWS_TO_LEARN)]
    assert margin_after(first, *windows[:-1]).seconds == UNLEARNED_SECONDS == 0.010
    assert margin_after(first, *windows).seconds == pytest.approx(2 * 0.0012)


def test_a_large_deviation_widens_the_margin_at_once():
    """An engine whose clocks are further apart than ten milliseconds is not judged by them while it is learned."""
    engine = Engine()
    assert margin_after(engine.page(), engine.ran(-0.030).page()).seconds == pytest.approx(0.060)


def test_deviations_of_several_requests_are_scaled_to_one():
    """Nine requests whose mean is off by 1 ms count as one that is off by 3 ms: single ones partly cancel in a mean."""
    engine = Engine()
    (deviation,) = margin_after(engine.page(), engine.ran(*[0.001] * 9).page()).deviations
    assert deviation == pytest.approx(0.001 * sqrt(9))


def test_a_window_may_cover_several_pages():
    """It stays open while a request is in flight, and closes with the page that shows none."""
    engine = Engine()
    pages = [engine.page(), engine.page(running=1.0), engine.ran(0.002).page(running=2.0), engine.ran(0.002).page()]
    assert margin_after(*pages[:3]).deviations == ()
    (deviation,) = margin_after(*pages).deviations
    assert deviation == pytest.approx(0.004 / sqrt(2))


def test_a_window_that_began_with_requests_in_flight_teaches_nothing():
    """Their first tokens were observed before it."""
    engine = Engine()
    assert margin_after(engine.page(running=1.0), engine.ran(0.5).page()).deviations == ()


def test_a_window_without_ends_or_with_a_hang_up_teaches_nothing():
    """A first token without an end makes the populations differ."""
    engine = Engine()
    pages = [engine.page(), engine.page(), engine.ran(0.002, hung_up=1).page(), engine.ran(0.001).page()]
    (deviation,) = margin_after(*pages).deviations
    assert deviation == pytest.approx(0.001)


def test_a_torn_page_spoils_its_window_only():
    """A sum that lacks an observation would teach a deviation of seconds."""
    engine, series = Engine(), SeriesId(Signal.DECODE_TIME, MODEL)
    pages = [engine.page(), engine.ran(0.5).page(running=1.0), engine.ran(0.5).page(), engine.ran(0.001).page()]
    pages[1].histograms[series] = replace(pages[1].histograms[series], sum=0.0)
    assert margin_after(*pages).deviations == pytest.approx((0.001,))


def test_only_the_latest_windows_count():
    """A deviation is forgotten after a hundred further windows."""
    engine = Engine()
    pages = [engine.page(), engine.ran(0.5).page(), *(engine.ran(0.001).page() for _ in range(WINDOWS_KEPT))]
    assert margin_after(*pages[:-1]).seconds == pytest.approx(1.0)
    margin = margin_after(*pages)
    assert len(margin.deviations) == WINDOWS_KEPT == 100
    assert margin.seconds == pytest.approx(0.002)


def test_another_engine_at_the_address_starts_a_new_window():
    """Its first page is a baseline; what the account's clocks showed before stays until new windows replace it."""
    engine = Engine()
    pages = [engine.page(), engine.page(running=1.0), engine.ran(0.5).page(engine="other")]
    assert margin_after(*pages).deviations == ()
    assert margin_after(*pages, engine.ran(0.001).page(engine="other")).deviations == pytest.approx((0.001,))


def test_an_account_without_decode_times_has_no_margin():
    """Method "tick" cannot judge it."""
    assert learn_margins({}, [measure_growth(None, page("a", 0.0, finished(Outcome.SUCCESS, 0.0)))]) == {}


def test_margins_go_with_their_accounts():
    """They are forgotten with a removed or replaced server and with a closed model, and published until then."""
    fold, engine = Fold(Policy()), Engine()
    fold.tick(0.0, served(engine.page()))
    snapshot = fold.tick(1.0, served(engine.ran(-0.030).page()))
    assert snapshot.tick_margins == {ACCOUNT: pytest.approx(0.060)}
    source = server_source("a")
    assert ACCOUNT in forget_removed(fold.state, [source]).tick_margins
    assert forget_removed(fold.state, []).tick_margins == {}
    assert forget_removed(fold.state, [source], replaced=["a"]).tick_margins == {}
    for n in range(300):
        fold.tick(2.0 + n, served(page("a", 2.0 + n, counter(Signal.GENERATED_TOKENS, 1.0, f"model-{n}"))))
    assert ACCOUNT not in cap_accounts(fold.state, "a", ()).tick_margins


def test_margin_starts_unlearned():
    """An account that was never idle is judged with the initial margin."""
    assert TickMargin().seconds == UNLEARNED_SECONDS
