"""CPU time of one tick at 1, 8 and 64 GPUs with one vLLM server: sources to snapshot, and the fold alone.

The GPU source is the real one, in its own thread, with a driver in plain Python; the server's readings are prepared,
since reading a page and publishing have separate benches.
"""

import asyncio
import time
from collections.abc import Sequence

from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.engine import EngineReading
from goodwatt.model.source import Reading, server_source
from goodwatt.runtime.sampler import Clocks, Sampler
from goodwatt.sources.gpu.source import GpuSource
from tests.bench.rows import Row, median, percentile
from tests.fakes import snapshots
from tests.fakes.fake_driver import Clock, FakeDriver, FakeGpu

GPUS = (1, 8, 64)
SETTLE_TICKS = 14  # the live window is full from here on


class Prepared:
    """A server with prepared readings."""

    id = server_source("vllm-0")
    deadline_seconds = 2.0

    def __init__(self, readings: Sequence[EngineReading]) -> None:
        self._readings = iter(readings)

    async def read(self) -> EngineReading:
        return next(self._readings)

    async def aclose(self) -> None:
        return None


def rows(quick: bool) -> list[Row]:
    """Median and p99 of each."""
    ticks = SETTLE_TICKS + (100 if quick else 400)
    found = []
    for gpus in GPUS:
        for what, spent in (("tick", asyncio.run(_ticks(gpus, ticks))), ("step alone", _steps(gpus, ticks))):
            found.append(Row(f"{what}, {gpus} GPUs, median", median(spent), "ms"))
            found.append(Row(f"{what}, {gpus} GPUs, p99", percentile(spent, 0.99), "ms"))
    return found


async def _ticks(gpus: int, ticks: int) -> list[float]:
    """Milliseconds of CPU over all threads, per tick."""
    clock = Clock()
    cards = [FakeGpu(snapshots.uuid(index), serial="") for index in range(gpus)]
    server = Prepared([snapshots.page("vllm-0", tick) for tick in range(ticks)])
    source = GpuSource(FakeDriver(*cards), clock)
    sampler = Sampler([source, server], snapshots.POLICY, lambda _: None, Clocks(clock, time.time))
    spent = []
    for _ in range(ticks):
        clock.advance(snapshots.INTERVAL)
        for card in cards:
            card.millijoules += 2_000_000
        began = time.process_time()
        await sampler.tick()
        spent.append((time.process_time() - began) * 1000)
    await sampler.aclose()
    return spent[SETTLE_TICKS:]


def _steps(gpus: int, ticks: int) -> list[float]:
    """Milliseconds of CPU per fold."""
    state, spent = State(), []
    for tick in range(ticks):
        readings: dict[str, Reading] = {
            "nvml": snapshots.gpus(gpus, tick),
            Prepared.id.label: snapshots.page("vllm-0", tick),
        }
        results, now = snapshots.results(readings), snapshots.START + tick * snapshots.INTERVAL
        began = time.process_time()
        state, _ = step(state, results, snapshots.POLICY, now, unix=snapshots.UNIX)
        spent.append((time.process_time() - began) * 1000)
    return spent[SETTLE_TICKS:]
