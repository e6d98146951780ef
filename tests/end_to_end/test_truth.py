"""Ten simulated minutes through the real sources over real HTTP, against the simulation's ground truth."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import make_plan
from goodwatt.demo.demo import Demo
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.engines import load_profiles
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.ledger import Account, CountKey, SloKey
from goodwatt.model.snapshot import Snapshot
from goodwatt.runtime.sampler import Clocks, Sampler
from goodwatt.sources.open import SourceContext, open_source


class HandClock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """The demo, and a sampler over its real sources, on one test clock."""

    demo: Demo
    sampler: Sampler
    clock: HandClock

    async def tick(self, seconds: float = 5.0) -> Snapshot:
        self.clock.now += seconds
        return await self.sampler.tick()

    def engine(self, name: str) -> SimulatedEngine:
        return self.demo.engine(name).read_now(lambda engine: engine)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = HandClock()
    demo = Demo(clock=clock)
    await demo.start()
    config = parse(demo.config_text())
    context = SourceContext(profiles=load_profiles(), driver=demo.driver, simulated=True, clock=clock)
    # Only ticks read: reads between them would follow the real clock.
    servers = [one.model_copy(update={"read_interval_seconds": "tick"}) for one in config.servers or ()]
    sources = [open_source(section, context) for section in (config.gpus, *servers)]
    plan = make_plan(config.model_copy(update={"interval_seconds": 5.0}))
    policy = plan.policy_for(plan.servers)
    sampler = Sampler([s for s in sources if s], policy, lambda _: None, Clocks(clock, lambda: 1.7e9))
    yield Bench(demo, sampler, clock)
    await sampler.aclose()
    await demo.aclose()


def accounts(bench: Bench) -> list[Account]:
    return [Account(server.name, server.model) for server in bench.demo.servers]


async def test_tokens_energy_and_cost_match_the_truth_across_restarts(bench: Bench) -> None:
    """Across restarts, tokens and requests match exactly, energy to a millijoule, rental cost to rounding."""
    await bench.tick()
    began = {a: (_tokens(bench, a), _joules(bench, a), _finished(bench, a)) for a in accounts(bench)}
    snapshot = None
    for tick in range(120):
        snapshot = await bench.tick()
        if tick in (30, 77):
            bench.demo.faults("chat").restart()
    assert snapshot is not None
    for account, (tokens, joules, finished) in began.items():
        counts = snapshot.ledger.counts
        assert counts[CountKey(account, Signal.GENERATED_TOKENS)] == _tokens(bench, account) - tokens
        assert counts[CountKey(account, Signal.REQUESTS, Outcome.SUCCESS)] == _finished(bench, account) - finished
        energy = sum(mj for (who, _), mj in snapshot.ledger.energy_millijoules.items() if who == account) / 1000
        assert energy == pytest.approx(_joules(bench, account) - joules, abs=0.002)
        assert snapshot.ledger.cost[account, "rental"] == pytest.approx(1.69 * 600 / 3600)


async def test_goodput_bounds_contain_the_truth_at_every_tick(bench: Bench) -> None:
    """Through load, overload, a slow engine and a restart, lower <= good <= upper at every tick.

    Eligible requests are counted exactly. With thresholds on bucket edges and no fault, the bounds are tight.
    """
    await bench.tick()
    began = {key: _good(bench, key) for key in _keys(bench)}
    previous = None
    for tick in range(120):
        if tick == 40:
            bench.demo.faults("chat").slow_down(3.0)
        if tick == 60:
            bench.demo.faults("chat").slow_down(1.0)
            bench.demo.faults("batch").restart()
        snapshot = await bench.tick()
        totals = snapshot.ledger.slos
        for key, (eligible, good) in began.items():
            truth = _good(bench, key)
            assert totals[key].eligible == truth[0] - eligible
            assert totals[key].good_lower <= truth[1] - good <= totals[key].good_upper, key
        previous = totals
    chat = next(key for key in began if key.account.server == "chat" and key.slo == "comfortable")
    assert previous is not None
    assert previous[chat].good_lower > 0.8 * previous[chat].good_upper


def _tokens(bench: Bench, account: Account) -> int:
    return bench.engine(account.server).truth.generated_tokens


def _finished(bench: Bench, account: Account) -> int:
    return bench.engine(account.server).truth.succeeded


def _joules(bench: Bench, account: Account) -> float:
    return bench.engine(account.server).power.picojoules / 1e12


def _keys(bench: Bench) -> list[SloKey]:
    return [SloKey(account, name) for account in accounts(bench) for name in bench.engine(account.server).truth.watched]


def _good(bench: Bench, key: SloKey) -> tuple[int, int]:
    _, count = bench.engine(key.account.server).truth.watched[key.slo]
    return count.eligible, count.good
