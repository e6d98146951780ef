"""Servers that are removed and return: what stays published, what is remembered, and that energy is never lost."""

from collections.abc import Collection

import pytest

from goodwatt.derive.retention import MAX_OPEN_ACCOUNTS, REMEMBERED_SERVERS, forget_removed
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, CountKey, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.source import NVML_SOURCE, OTLP_SOURCE, SourceResult, proxy_source, server_source
from goodwatt.model.tariff import Carbon, Tariff
from tests.fakes.readings import MODEL, Fold, gpu, gpus, page, record, records_result, silent, tokens_page

A = Account("a", MODEL)
B = Account("b", MODEL)
EXACT = SloKey(A, "slo")
GENERATED = CountKey(A, Signal.GENERATED_TOKENS)
POLICY = Policy(
    slos=(Slo(name="slo", thresholds=(Threshold(Signal.TTFT, 1.0),), objective=0.9),),
    tariff=Tariff("USD", price_per_gpu_hour=3600.0),
    carbon=Carbon(400.0),
)


class Fleet(Fold):
    """A run of ticks over changing servers, with one GPU of 100 W."""

    def now(self, n: int, **generated: float) -> None:
        """Fold tick `n`, with these servers and the tokens that each has generated."""
        pages = (tokens_page(name, 5.0 * n, value, running=1.0) for name, value in generated.items())
        self.tick(5.0 * n, gpus(gpu(0, 5.0 * n, 500_000 * n)), *pages)

    def configure(self, *servers: str, gpus: bool = True, replaced: Collection[str] = ()) -> None:
        """Read these servers from now on, a proxy in front of each, and OTLP."""
        sources = {OTLP_SOURCE, *map(server_source, servers), *map(proxy_source, servers)}
        sources |= {NVML_SOURCE} if gpus else set()
        self.state = forget_removed(self.state, sources, replaced=replaced)


def conserved(fold: Fold) -> bool:
    ledger = fold.snapshots[-1].ledger
    parts = sum(ledger.energy_millijoules.values()) + sum(ledger.gpu_unattributed_millijoules.values())
    return parts + (ledger.closed_energy_millijoules or 0) == sum(ledger.gpu_energy_millijoules.values()) > 0


def test_a_removed_server_is_not_shown_and_keeps_its_energy():
    """Servers, sources and live figures lose it immediately; its energy stays, and later energy goes to others."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=0.0, b=0.0)
    fleet.now(1, a=10.0, b=10.0)
    given = fleet.snapshots[-1].ledger.energy_millijoules
    fleet.configure("b")
    fleet.now(2, b=20.0)
    shown = fleet.snapshots[-1]
    assert set(shown.servers) == {"b"} and {s.source.label for s in shown.sources} == {"nvml", "server/b"}
    assert {account.server for account in shown.live} == {"b"}
    after = shown.ledger.energy_millijoules
    assert [value for (account, _), value in after.items() if account == A] == [
        value for (account, _), value in given.items() if account == A
    ]
    assert conserved(fleet)


def test_a_removed_server_claims_no_energy_from_the_next_tick_on():
    """The energy of the interval goes to servers that are still read, or is unattributed."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=0.0)
    fleet.configure()
    fleet.now(1)
    ledger = fleet.snapshots[-1].ledger
    assert not any(ledger.energy_millijoules.values())
    assert ledger.gpu_unattributed_millijoules == {"GPU-0": 500_000}


def test_a_server_that_returns_continues_its_counters():
    """Its counts from while it was removed are ignored."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=100.0)
    fleet.now(1, a=150.0)
    fleet.configure()
    fleet.now(2)
    fleet.configure("a")
    fleet.now(3, a=9_000.0)
    assert fleet.snapshots[-1].ledger.counts[GENERATED] == 50.0
    fleet.now(4, a=9_007.0)
    assert fleet.snapshots[-1].ledger.counts[GENERATED] == 57.0
    assert fleet.state.removed_servers == () and conserved(fleet)


def test_another_server_with_the_same_name_starts_from_a_baseline():
    """With another address behind a name, its first page is a baseline and its source has no history."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=100.0, b=0.0)
    fleet.now(1, a=150.0, b=0.0)
    fleet.configure("a", "b", replaced=["a"])
    assert set(fleet.state.sources) == {NVML_SOURCE, server_source("b")}
    fleet.now(2, a=70_000.0, b=5.0)
    counts = fleet.snapshots[-1].ledger.counts
    assert (counts[GENERATED], counts[CountKey(B, Signal.GENERATED_TOKENS)]) == (50.0, 5.0)


def test_reading_the_same_servers_changes_nothing():
    """A change that leaves the servers as they are leaves the state as it is."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=0.0, b=0.0)
    fleet.now(1, a=10.0, b=10.0)
    before = fleet.state
    fleet.configure("a", "b")
    assert fleet.state == before


def churn(fleet: Fleet, count: int) -> None:
    """Read `count` servers one after the other, each at work for one interval."""
    for n in range(count):
        name = f"s{n}"
        fleet.configure(name)
        fleet.now(2 * n, **{name: 0.0})
        fleet.now(2 * n + 1, **{name: 5.0})


def test_accounts_of_removed_servers_are_bounded_and_nothing_is_lost():
    """After any number of servers the state has a bounded number of accounts, and energy still adds up."""
    fleet = Fleet(POLICY)
    churn(fleet, REMEMBERED_SERVERS + 10)
    fleet.configure()
    fleet.now(1000)
    ledger, state = fleet.snapshots[-1].ledger, fleet.state
    servers = {key.account.server for key in ledger.counts}
    assert len(servers) == len(state.removed_servers) == len(state.since) == REMEMBERED_SERVERS
    assert servers == {f"s{n}" for n in range(10, REMEMBERED_SERVERS + 10)}
    assert {key.account.server for key in [*ledger.evidence, *state.first_tokens]} == servers
    assert set(ledger.dropped_lines) == {account.server for account in ledger.carbon_grams} == servers
    assert state.engines == state.activities == {} and ledger.closed_energy_millijoules
    assert conserved(fleet)


def test_cost_and_carbon_of_closed_accounts_are_kept_as_sums():
    """Closing accounts loses neither cost nor carbon; while none is closed the sums are absent."""
    fleet, count = Fleet(POLICY), REMEMBERED_SERVERS + 20
    churn(fleet, REMEMBERED_SERVERS)
    fleet.configure()
    ledger = fleet.state.ledger
    assert (ledger.closed_energy_millijoules, ledger.closed_cost, ledger.closed_carbon_grams) == (None, {}, None)
    fleet = Fleet(POLICY)
    churn(fleet, count)
    ledger = fleet.snapshots[-1].ledger
    rent = sum(ledger.cost.values()) + ledger.closed_cost["rental"] + sum(ledger.unattributed_cost.values())
    assert rent == pytest.approx(5.0 * (2 * count - 1))  # one unit of money a second
    grams = sum(ledger.carbon_grams.values()) + (ledger.closed_carbon_grams or 0.0)
    joules = sum(ledger.gpu_energy_millijoules.values()) / 1000
    assert grams + (ledger.unattributed_carbon_grams or 0.0) == pytest.approx(joules / 3.6e6 * 400)


def test_a_removed_server_without_accounts_is_forgotten_too():
    """Dropped lines of removed servers are bounded as well."""
    fleet = Fleet(POLICY)
    for n in range(REMEMBERED_SERVERS + 5):
        fleet.configure(f"s{n}")
        fleet.tick(5.0 * n, SourceResult(server_source(f"s{n}"), 0.1, page(f"s{n}", 5.0 * n, dropped_lines=3)))
    fleet.configure()
    assert len(fleet.state.ledger.dropped_lines) == REMEMBERED_SERVERS
    assert fleet.state.ledger.closed_energy_millijoules is None


def test_gpus_that_are_no_longer_read_cost_nothing_more():
    """Without the GPU source, GPUs are forgotten: rental stops, and no energy is made up when they return."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=0.0)
    fleet.now(1, a=1.0)
    spent = fleet.snapshots[-1].ledger.cost
    fleet.configure("a", gpus=False)
    shown = fleet.tick(10.0, tokens_page("a", 10.0, 2.0))
    assert shown.ledger.cost == spent and shown.gpus is None and fleet.state.meters == {}
    fleet.configure("a")
    fleet.now(50, a=3.0)
    assert fleet.snapshots[-1].ledger.gpu_energy_millijoules == {"GPU-0": 500_000}


def test_a_server_that_is_down_is_not_removed():
    """While it is configured its last page is kept, also while it fails."""
    fleet = Fleet(POLICY)
    fleet.now(0, a=1.0)
    fleet.tick(5.0, silent("a"))
    fleet.configure("a")
    assert set(fleet.state.engines) == {"a"}


def test_a_removed_server_keeps_its_records_and_a_closed_one_does_not():
    """Records of a server that returns continue in a new window; those of a closed one are forgotten."""
    fleet, spans = Fleet(POLICY), "otlp"
    fleet.tick(0.0, tokens_page("a", 0.0, 0.0), records_result(0.0, record(), source=spans))
    fleet.tick(5.0, tokens_page("a", 5.0, 0.0), records_result(5.0, record(), source=spans))
    assert fleet.snapshots[-1].exact_live
    fleet.configure()
    assert fleet.state.record_sources == {}
    shown = fleet.tick(10.0, records_result(10.0, record(), source=spans))
    assert (shown.exact_live, shown.ledger.exact[EXACT].good) == ({}, 2)
    fleet.configure("a")
    shown = fleet.tick(15.0, tokens_page("a", 15.0, 0.0), records_result(15.0, record(), source=spans))
    assert (shown.exact_live, shown.ledger.exact[EXACT].good) == ({}, 3)
    churn(fleet, REMEMBERED_SERVERS + 1)
    ledger = fleet.state.ledger
    assert (ledger.exact, ledger.latencies, ledger.records, fleet.state.records_since) == ({}, {}, {}, {})


def test_a_server_known_only_from_records_is_retained_like_others():
    """Without a page its accounts are those of its records, and its live window restarts when it returns."""
    fleet = Fleet(POLICY)
    fleet.tick(0.0, silent("a"), records_result(0.0, record()))
    fleet.configure()
    assert fleet.state.removed_servers == ("a",) and fleet.state.ledger.exact[EXACT].good == 1
    fleet.tick(5.0, records_result(5.0))
    fleet.configure("a")
    assert fleet.tick(10.0, silent("a"), records_result(10.0, record())).exact_live == {}
    assert fleet.tick(15.0, silent("a"), records_result(15.0, record())).exact_live[EXACT].good == 1
    fleet.configure()
    churn(fleet, REMEMBERED_SERVERS + 1)
    assert EXACT not in fleet.state.ledger.exact


def test_another_proxy_with_the_same_name_has_no_history():
    """With another target behind the name, neither the server's source nor its proxy has a history."""
    fleet = Fleet(POLICY)
    fleet.tick(0.0, tokens_page("a", 0.0, 0.0), records_result(0.0, record(), source="proxy/a"))
    fleet.configure("a", replaced=["a"])
    assert (set(fleet.state.sources), fleet.state.record_sources) == (set(), {})


def served_by_one(fleet: Fleet, models: int) -> None:
    """Fold pages of a server that renames its model at every page."""
    for n in range(models):
        renamed = tokens_page("a", 5.0 * n, 100.0, model=f"m{n}", running=1.0)
        fleet.tick(5.0 * n, gpus(gpu(0, 5.0 * n, 500_000 * n)), renamed, records_result(5.0 * n, record(model=f"m{n}")))


def test_the_open_accounts_of_a_server_are_bounded():
    """The latest accounts stay open; the energy of the others is kept as a sum, so none is lost."""
    fleet = Fleet(POLICY)
    served_by_one(fleet, MAX_OPEN_ACCOUNTS + 40)
    ledger = fleet.snapshots[-1].ledger
    assert len(fleet.state.since) == MAX_OPEN_ACCOUNTS
    assert (
        Account("a", f"m{MAX_OPEN_ACCOUNTS + 39}") in fleet.state.since and Account("a", "m0") not in fleet.state.since
    )
    assert {key.account for key in ledger.counts} == set(fleet.state.since) == {key.account for key in ledger.exact}
    assert ledger.dropped_lines == {"a": 0}
    assert ledger.closed_energy_millijoules and conserved(fleet)


def test_many_models_of_many_servers_stay_open():
    """The limit is per server: two servers with a few models each keep them all."""
    fleet = Fleet(POLICY)
    half = MAX_OPEN_ACCOUNTS // 2 + 1
    for n in range(half):
        pages = (tokens_page(name, 5.0 * n, 100.0, model=f"m{n}") for name in ("a", "b"))
        fleet.tick(5.0 * n, gpus(gpu(0, 5.0 * n, 500_000 * n)), *pages)
    assert len(fleet.state.since) == 2 * half and fleet.state.ledger.closed_energy_millijoules is None
