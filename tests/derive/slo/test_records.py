"""From records to published figures: without delay, next to histograms, and over one window with the energy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import TokenCount
from goodwatt.model.ledger import Account, CountKey, RecordKey, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.request import Dropped
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.source import OTLP_SOURCE, Reason, SourceResult, Unavailable, server_source
from goodwatt.model.tariff import Tariff
from tests.derive.laws import law
from tests.fakes.readings import MODEL, Fold, counter, gpu, gpus, page, record, records_result, silent, tokens_page

A = Account("a", MODEL)
FAST = Slo(name="fast", thresholds=(Threshold(Signal.TTFT, 0.5),), objective=0.9)
WHOLE = Slo(name="whole", thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 2.0)), objective=0.9)
POLICY = Policy(window_seconds=60.0, slos=(FAST, WHOLE), tariff=Tariff("USD", price_per_gpu_hour=3600.0))
KEY = SloKey(A, "fast")


class Story(Fold):
    """One GPU of 100 W, a scraped server `a`, and an OTLP receiver."""

    def __init__(self) -> None:
        super().__init__(POLICY)

    def at(self, now: float, *records: object, generated: float = 0.0, up: bool = True, listens: bool = True) -> None:
        server = tokens_page("a", now, generated, running=1.0) if up else silent("a")
        spans = (
            records_result(now, *records)
            if listens
            else SourceResult(OTLP_SOURCE, 0.1, Unavailable(Reason.CANNOT_LISTEN, "no"))
        )
        self.tick(now, gpus(gpu(0, now, int(now * 100_000))), server, spans)

    @property
    def now(self):
        return self.snapshots[-1]


def test_totals_change_in_the_tick_of_the_record():
    """Totals do not wait for a window to close, and several SLOs judge the same request."""
    story = Story()
    story.at(0.0, record(), record(ttft=0.6), record(e2e=3.0))
    exact = story.now.ledger.exact
    assert (exact[KEY].eligible, exact[KEY].good) == (3, 2)
    assert (exact[SloKey(A, "whole")].good, exact[SloKey(A, "whole")].met) == (1, (2, 2))
    assert story.now.record_sources == {"a": OTLP_SOURCE}


def test_an_account_on_the_page_starts_at_0():
    """Once a server has a record source, the first record of any of its models is an increase."""
    fold = Fold(POLICY)
    two = page("a", 0.0, counter(Signal.GENERATED_TOKENS, 5.0), counter(Signal.GENERATED_TOKENS, 5.0, "qwen"))
    fold.tick(0.0, SourceResult(server_source("a"), 0.1, two), records_result(0.0))
    assert fold.snapshots[-1].ledger.exact == {}, "no source has reported requests of this server yet"
    fold.tick(5.0, SourceResult(server_source("a"), 0.1, two), records_result(5.0, source="proxy/a"))
    ledger = fold.snapshots[-1].ledger
    assert {key: totals.eligible for key, totals in ledger.exact.items()} == {
        SloKey(Account("a", model), slo): 0 for model in (MODEL, "qwen") for slo in ("fast", "whole")
    }
    assert ledger.latencies[A, Signal.TTFT].count == 0.0


def test_records_are_counted_by_kind():
    """By source, outcome, and origin of the token count."""
    story = Story()
    failed = record(outcome=Outcome.ERROR, tokens=None)
    story.at(0.0, record(), record(), record(estimated=True), failed)
    ended, known = Outcome.SUCCESS, TokenCount.REPORTED
    assert story.now.ledger.records == {
        RecordKey(A, OTLP_SOURCE, ended, known): 2,
        RecordKey(A, OTLP_SOURCE, ended, TokenCount.ESTIMATED): 1,
        RecordKey(A, OTLP_SOURCE, Outcome.ERROR, TokenCount.UNKNOWN): 1,
    }


def test_latency_histograms_have_known_latencies_of_successes():
    """A failure's duration and an unknown TPOT are in no histogram."""
    story = Story()
    story.at(0.0, record(), record(tpot=None, tokens=1), record(outcome=Outcome.ERROR), record(ttft=None))
    found = {signal: histogram.count for (_, signal), histogram in story.now.ledger.latencies.items()}
    assert found == {Signal.TTFT: 2.0, Signal.TPOT: 2.0, Signal.E2E: 3.0}
    assert 0.5 in story.now.ledger.latencies[A, Signal.TTFT].edges


def test_good_requests_and_energy_cover_the_same_window():
    """Good requests, tokens, watts and cost are of one window, which starts with the first record."""
    story = Story()
    for n in range(4):
        story.at(5.0 * n, generated=10.0 * n)
    story.at(20.0, record(), generated=50.0)
    assert story.now.exact_live == {}
    story.at(25.0, record(tokens=30), record(ttft=1.0, tokens=3), generated=80.0)
    live = story.now.exact_live[KEY]
    assert (live.seconds, live.eligible, live.good, live.tokens, live.good_tokens) == (5.0, 2, 1, 33, 30)
    assert live.rates.watts == pytest.approx(100.0) and live.rates.cost_per_second == pytest.approx(1.0)
    assert story.now.live[A].seconds == 25.0


def test_without_pages_there_is_no_energy_in_the_window():
    """While the server's page is missing good requests have no rates; when it recovers the window restarts."""
    story = Story()
    story.at(0.0, record())
    story.at(5.0, record())
    for n in range(2, 5):
        story.at(5.0 * n, record(), up=False)
    live = story.now.exact_live[KEY]
    assert (live.good, live.rates.watts, live.rates.cost_per_second) == (4, None, None)
    story.at(25.0, record())
    assert KEY not in story.now.exact_live
    story.at(30.0, record())
    assert story.now.exact_live[KEY].seconds == 5.0 and story.now.exact_live[KEY].good == 1
    assert story.now.ledger.exact[KEY].good == 7


def test_the_window_restarts_when_the_record_source_recovers():
    """Records that could not be received are not bad requests: the window starts when they arrive again."""
    story = Story()
    story.at(0.0, record())
    story.at(5.0, record())
    for n in range(2, 5):
        story.at(5.0 * n, listens=False)
    assert (story.now.record_sources, story.now.exact_live) == ({}, {})
    story.at(25.0, record())
    assert story.now.exact_live == {}
    story.at(30.0, record())
    assert story.now.exact_live[KEY].seconds == 5.0
    assert story.now.ledger.exact[KEY].good == 4


def test_a_proxys_page_counts_as_the_servers_page():
    """Its counters are the ledger's tokens, its first one is a baseline, and it claims the GPU's energy."""
    fold = Fold(POLICY)
    for n in range(3):
        now = 5.0 * n
        own = page("a", now, counter(Signal.GENERATED_TOKENS, 10.0 * n), engine="proxy")
        proxied = records_result(now, record(), source="server/a", page=own)
        fold.tick(now, gpus(gpu(0, now, int(now * 100_000))), proxied)
    shown = fold.snapshots[-1]
    assert shown.servers["a"].engine == "proxy"
    assert shown.ledger.counts[CountKey(A, Signal.GENERATED_TOKENS)] == 20.0
    assert sum(shown.ledger.energy_millijoules.values()) == 1_000_000
    assert shown.exact_live[KEY].rates.watts == pytest.approx(100.0)
    assert shown.slo_live == {}, "it has no histograms"


def test_a_record_source_has_a_state_like_any_other():
    """Its dropped records add up and survive a failure, and it reports whether it is simulated."""
    fold = Fold(POLICY)
    fold.tick(0.0, records_result(0.0, dropped={Dropped.LATE: 2}, simulated=True))
    fold.tick(5.0, SourceResult(OTLP_SOURCE, 0.1, Unavailable(Reason.CANNOT_LISTEN, "taken")))
    fold.tick(10.0, records_result(10.0, dropped={Dropped.LATE: 1, Dropped.FOREIGN: 4}))
    (state,) = fold.snapshots[-1].sources
    assert (state.dropped, state.simulated) == ({Dropped.LATE: 3, Dropped.FOREIGN: 4}, False)
    assert fold.snapshots[0].sources[0].simulated is True
    fold.tick(15.0)
    assert fold.snapshots[-1].sources == ()


some = st.lists(
    st.builds(
        record,
        st.sampled_from([None, 0.1, 0.6]),
        st.sampled_from([None, 0.0125, 0.3]),
        st.floats(0.1, 3.0),
        tokens=st.sampled_from([None, 1, 20]),
        outcome=st.sampled_from(Outcome),
        model=st.sampled_from([MODEL, "qwen", "", "\ud800"]),
    ),
    max_size=10,
)


@law(100)
@given(some, st.lists(st.integers(0, 10), max_size=4))
def test_ticks_do_not_matter(records, cuts):
    """Any split of records into ticks gives the same ledger."""
    at_once, in_parts = Fold(POLICY), Fold(POLICY)
    at_once.tick(0.0, silent("a"), records_result(0.0, *records))
    bounds = sorted({0, *cuts, len(records)})
    for n, (low, high) in enumerate(zip(bounds, [*bounds[1:], len(records)], strict=True)):
        in_parts.tick(5.0 * n, silent("a"), records_result(5.0 * n, *records[low:high]))
    assert at_once.state.ledger == in_parts.state.ledger
