"""The sampling loop: what every tick does even if sources fail."""

import asyncio
import logging

import pytest

from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.gpu import GpusReading
from goodwatt.model.policy import Policy
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import Reading, Reason, SourceUnavailable
from goodwatt.runtime.sampler import Clocks, Sampler
from tests.fakes.readings import counter, page, source_id
from tests.fakes.snapshots import gpus, uuid


class Scripted:
    """A source that plays a list of answers: a reading, an exception, or a number of seconds to hang."""

    def __init__(self, name: str, *script: Reading | Exception | float, deadline_seconds: float = 1.0) -> None:
        self.id = source_id(name)
        self.deadline_seconds = deadline_seconds
        self.script = list(script)
        self.reads = 0
        self.closed = False

    async def read(self) -> Reading:
        self.reads += 1
        answer = self.script[min(self.reads, len(self.script)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return GpusReading(())
        return answer

    async def aclose(self) -> None:
        self.closed = True


class HandClock:
    """Monotonic time that advances only on sleep, or when a test sets it."""

    def __init__(self, ticks: int = 1000) -> None:
        self.now = 1000.0
        self.ticks = ticks
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.ticks -= 1
        if self.ticks == 0:
            raise asyncio.CancelledError

    def clocks(self) -> Clocks:
        return Clocks(self.monotonic, lambda: 1.7e9, self.sleep)


def read(generated: float, server: str = "a") -> EngineReading:
    return page(server, generated, counter(Signal.GENERATED_TOKENS, generated))


def gone(detail: str = "server/a: no") -> SourceUnavailable:
    return SourceUnavailable(Reason.UNREACHABLE, detail)


async def test_a_hung_source_delays_no_other() -> None:
    """A hung source ends at its deadline with the reason timeout, and the rest of the tick is complete."""
    seen: list[Snapshot] = []
    hung = Scripted("server/hung", 60.0, deadline_seconds=0.05)
    sampler = Sampler([hung, Scripted("nvml", GpusReading(()))], Policy(), seen.append)
    snapshot = await sampler.tick()
    states = {state.source.label: state for state in snapshot.sources}
    assert states["nvml"].up
    assert (states["server/hung"].up, states["server/hung"].reason) == (False, Reason.TIMEOUT)
    assert 0.04 < states["server/hung"].duration_seconds < 1.0
    assert seen == [snapshot]


async def test_a_deadline_is_cut_to_the_interval() -> None:
    """A deadline longer than the interval is cut to fit, so that ticks stay on the grid."""
    hung = Scripted("server/hung", 60.0, deadline_seconds=30.0)
    snapshot = await Sampler([hung], Policy(interval_seconds=1.0), lambda _: None).tick()
    assert snapshot.sources[0].duration_seconds < 1.0


async def test_an_expected_failure_is_counted_by_reason_and_keeps_its_detail() -> None:
    """Failures add up by reason, and the detail of the latest one is kept for display."""
    source = Scripted("server/a", gone("first"), gone("second"), GpusReading(()))
    sampler = Sampler([source], Policy(), lambda _: None)
    await sampler.tick()
    state = (await sampler.tick()).sources[0]
    assert (state.misses, state.detail, state.failures) == (2, "second", {Reason.UNREACHABLE: 2})
    state = (await sampler.tick()).sources[0]
    assert (state.up, state.misses, state.detail, state.failures) == (True, 0, "", {Reason.UNREACHABLE: 2})


async def test_an_unexpected_exception_leaves_the_tick() -> None:
    """An exception that sources may not raise is a bug and is not swallowed."""
    with pytest.raises(ZeroDivisionError):
        await Sampler([Scripted("nvml", ZeroDivisionError())], Policy(), lambda _: None).tick()


async def test_the_grid_does_not_drift_and_skips_what_was_missed() -> None:
    """Ticks stay on multiples of the interval, even after one that overran by more than a whole interval."""
    clock = HandClock(ticks=5)
    times: list[float] = []

    def publish(snapshot: Snapshot) -> None:
        times.append(snapshot.at_seconds)
        clock.now += 0.3 if len(times) != 2 else 12.0  # publishing took this long

    with pytest.raises(asyncio.CancelledError):
        await Sampler([], Policy(interval_seconds=5.0), publish, clock.clocks()).run()
    assert times == pytest.approx([1000.0, 1005.0, 1020.0, 1025.0, 1030.0])


async def test_a_change_takes_effect_at_the_next_tick_and_closes_removed_sources() -> None:
    """Kept sources keep their state, new ones are read, and only removed ones are closed."""
    stays, goes, comes = (Scripted(name, gone()) for name in ("server/a", "server/b", "server/c"))
    sampler = Sampler([stays, goes], Policy(), lambda _: None)
    await sampler.tick()
    sampler.change([stays, comes], Policy(window_seconds=120.0))
    assert (sampler.sources, goes.closed) == ((stays, goes), False)
    snapshot = await sampler.tick()
    assert [(s.source.label, s.misses) for s in snapshot.sources] == [("server/a", 2), ("server/c", 1)]
    assert snapshot.policy.window_seconds == 120.0
    assert (stays.closed, goes.closed, comes.closed) == (False, True, False)


async def test_a_change_never_takes_effect_in_the_middle_of_a_tick() -> None:
    """A running tick finishes with the sources and policy it started with."""
    slow = Scripted("server/slow", 0.05)
    seen: list[Snapshot] = []
    sampler = Sampler([slow], Policy(window_seconds=60.0), seen.append)
    ticking = asyncio.create_task(sampler.tick())
    await asyncio.sleep(0.01)
    sampler.change([], Policy(window_seconds=120.0))
    await ticking
    assert ([s.source.label for s in seen[0].sources], seen[0].policy.window_seconds) == (["server/slow"], 60.0)
    assert not slow.closed
    await sampler.tick()
    assert (seen[1].sources, seen[1].policy.window_seconds, slow.closed) == ((), 120.0, True)


async def test_pending_changes_are_merged() -> None:
    """The latest sources and policy win, replaced names add up, and every callback is called."""
    told: list[str] = []
    pages = [read(10.0 * n) for n in range(1, 4)]
    source, other = Scripted("server/a", *pages), Scripted("server/a", *pages)
    sampler = Sampler([source], Policy(), lambda _: None)
    await sampler.tick()
    sampler.change([], Policy(), replaced=["a"], then=lambda: told.append("first"))
    sampler.change([other], Policy(window_seconds=90.0), then=lambda: told.append("second"))
    assert told == []
    snapshot = await sampler.tick()
    assert told == ["first", "second"] and snapshot.policy.window_seconds == 90.0
    assert sum(snapshot.ledger.counts.values()) == 0.0  # another server under the same name: a baseline
    await sampler.tick()
    assert told == ["first", "second"]


async def test_settling_ticks_at_once_and_restarts_the_grid() -> None:
    """A change is on a published snapshot before the old interval ends; then the new interval applies."""
    seen: list[Snapshot] = []
    sampler = Sampler([], Policy(interval_seconds=300.0, window_seconds=600.0), seen.append)
    running = asyncio.create_task(sampler.run())
    await asyncio.sleep(0.01)
    assert len(seen) == 1
    sampler.change([], Policy(interval_seconds=0.05))
    async with asyncio.timeout(2):
        await sampler.settle()
        assert seen[-1].policy.interval_seconds == 0.05 and len(seen) == 2
        while len(seen) < 5:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (seen[4].at_seconds - seen[1].at_seconds) / 3 > 0.045, "late ticks make it longer, one too many shorter"


async def test_dead_and_slow_servers_delay_no_other() -> None:
    """With 8 of 64 servers hanging and 8 refusing, each tick ends at the deadline with all others read."""
    fine = [Scripted(f"server/s{n}", read(0.0, f"s{n}")) for n in range(48)]
    hung = [Scripted(f"server/h{n}", 60.0, deadline_seconds=0.1) for n in range(8)]
    dead = [Scripted(f"server/d{n}", gone()) for n in range(8)]
    sampler = Sampler([*hung, *fine, *dead], Policy(), lambda _: None)
    began = asyncio.get_running_loop().time()
    snapshots = [await sampler.tick() for _ in range(3)]
    assert asyncio.get_running_loop().time() - began < 3 * 0.1 + 1.0
    for snapshot in snapshots:
        assert sum(state.up for state in snapshot.sources) == len(snapshot.servers) == 48
    assert all(source.reads == 3 for source in fine)


async def test_only_transitions_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One line when a source goes down, one when its reason changes, one when it recovers; none in between."""
    other = SourceUnavailable(Reason.HTTP_ERROR, "server/a: 500")
    source = Scripted("server/a", gone(), gone(), other, other, GpusReading(()), GpusReading(()))
    sampler = Sampler([source], Policy(), lambda _: None)
    with caplog.at_level(logging.INFO):
        for _ in range(6):
            await sampler.tick()
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "server/a: no (reason=unreachable)"),
        ("WARNING", "server/a: 500 (reason=http_error)"),
        ("INFO", "server/a: reading"),
    ]


async def test_the_duration_of_a_tick_is_published_one_tick_later() -> None:
    """A snapshot cannot contain the duration of its own tick, so it has that of the tick before."""
    clock = HandClock()

    def publish(_: Snapshot) -> None:
        clock.now += 0.25

    sampler = Sampler([], Policy(), publish, clock.clocks())
    assert (await sampler.tick()).tick_seconds is None
    assert (await sampler.tick()).tick_seconds == pytest.approx(0.25)


async def test_closing_closes_every_source() -> None:
    """`aclose` reaches all of them."""
    sources = [Scripted("nvml", GpusReading(())), Scripted("server/a", gone())]
    await Sampler(sources, Policy(), lambda _: None).aclose()
    assert all(source.closed for source in sources)


async def test_a_server_on_a_missing_gpu_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line names the server, its missing GPU and the present ones; it repeats only after a recovery."""
    policy = Policy(server_gpus={"a": (0, 7), "b": (uuid(1),), "c": ("GPU-gone",)})
    both, none = gpus(2, 0), gone("nvml: no")
    sampler = Sampler([Scripted("nvml", gpus(8, 0), both, none, both, gpus(8, 0), both)], policy, lambda _: None)
    told = []
    for _ in range(6):
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            await sampler.tick()
        told.append([r.getMessage() for r in caplog.records if "gpus lists" in r.getMessage()])
    end = "this machine does not have; its GPUs: 0, 1 (UUIDs: goodwatt_gpu_info); correct gpus"
    seven = f"server/a: gpus lists 7, which {end}"
    at_first = f"server/c: gpus lists GPU-gone, which {end}".replace("0, 1", "0, 1, 2, 3, 4, 5, 6, 7")
    assert told == [[at_first], [seven], [], [], [], [seven]]
