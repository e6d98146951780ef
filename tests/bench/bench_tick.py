"""CPU time of one tick at 1, 8 and 64 GPUs with one vLLM server: sources to snapshot, and the fold alone.

The GPU source is the real one, in its own thread, with a driver in plain Python; the server's readings are prepared,
since reading a page and publishing have separate benches. What SLOs cost is measured with the fold of 64 servers with
4 models each, under 4 SLOs and under none, in turns.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.source import Reading, server_source
from goodwatt.runtime.sampler import Clocks, Sampler
from goodwatt.sources.gpu.source import GpuSource
from tests.bench.rows import Row, median, percentile
from tests.fakes import snapshots
from tests.fakes.fake_driver import Clock, FakeDriver, FakeGpu

GPUS = (1, 8, 64)
SETTLE_TICKS = 14  # the live window is full from here on
SERVERS, MODELS = 64, 4
SLO_RATIO = 3.0
LIMITS = ((0.5, 0.05), (1.0, 0.1), (0.45, 0.04), (2.5, 0.075))  # seconds of TTFT and TPOT, one pair for each SLO


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
    return [*found, *_slo_rows(20 if quick else 60)]


def _slo_rows(ticks: int) -> list[Row]:
    """Medians of folding many servers with and without SLOs, and how many times dearer the SLOs make it."""
    with_slos = tuple(
        Slo(name=f"slo-{n}", thresholds=(Threshold(Signal.TTFT, ttft), Threshold(Signal.TPOT, tpot)), objective=0.95)
        for n, (ttft, tpot) in enumerate(LIMITS)
    )
    spent = _turns([replace(snapshots.POLICY, slos=slos) for slos in (with_slos, ())], SETTLE_TICKS + ticks)
    dear, cheap = (median(each[SETTLE_TICKS:]) for each in spent)
    place = f"step alone, {SERVERS} servers x {MODELS} models"
    return [
        Row(f"{place} x {len(LIMITS)} SLOs, median", dear, "ms"),
        Row(f"{place} without SLOs, median", cheap, "ms"),
        Row(f"{place}: ratio of the two", dear / cheap, "", SLO_RATIO),
    ]


def _turns(policies: Sequence[Policy], ticks: int) -> list[list[float]]:
    """Milliseconds of CPU per fold under each policy, taking turns at every tick."""
    states = [State() for _ in policies]
    spent: list[list[float]] = [[] for _ in policies]
    for tick in range(ticks):
        page = _page_of_models(tick)
        pages: dict[str, Reading] = {f"server/s{n}": replace(page, server=f"s{n}") for n in range(SERVERS)}
        results, now = snapshots.results(pages), snapshots.START + tick * snapshots.INTERVAL
        for at, policy in enumerate(policies):
            began = time.process_time()
            states[at], _ = step(states[at], results, policy, now, unix=snapshots.UNIX)
            spent[at].append((time.process_time() - began) * 1000)
    return spent


def _page_of_models(tick: int) -> EngineReading:
    """One page with several models."""
    pages = [snapshots.page("s", tick, f"model-{number}") for number in range(MODELS)]
    return replace(
        pages[0],
        counters={series: value for page in pages for series, value in page.counters.items()},
        gauges={series: value for page in pages for series, value in page.gauges.items()},
        histograms={series: value for page in pages for series, value in page.histograms.items()},
        gpu_joules={},
    )


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
