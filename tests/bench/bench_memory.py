"""Memory growth: thousands of ticks on a manual clock, from page text to rendered pages, in a separate process."""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time

from goodwatt.engines import load_profiles
from goodwatt.engines.page.reader import read_page
from goodwatt.model.engine import EngineReading
from goodwatt.model.source import server_source
from goodwatt.publish.exposition.formats import ExpositionFormat, Variant
from goodwatt.publish.http import About, Publisher
from goodwatt.runtime.sampler import Clocks, Sampler
from goodwatt.sources.engine.exposition import ExpositionParser
from goodwatt.sources.gpu.source import GpuSource
from tests.bench.observed import ROOT, memory_bytes
from tests.bench.page_server import PAGE, Captured
from tests.bench.rows import Row
from tests.fakes import snapshots
from tests.fakes.fake_driver import Clock, FakeDriver, FakeGpu

GPUS = 8
SETTLE_TICKS = 1000  # caches and numbers have their size by then
GROWTH_MEBIBYTES = 1.0
VARIANTS = (Variant(ExpositionFormat.TEXT), Variant(ExpositionFormat.OPENMETRICS, gzip=True))


class PageReader:
    """Reads a growing vLLM page at every tick, as the engine source does once it has the text."""

    id = server_source("vllm-0")
    deadline_seconds = 2.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._page = Captured(PAGE.read_text())
        self._profile = load_profiles()["vllm"]
        self._parser = ExpositionParser(self._profile.all_sample_names())
        self._previous: EngineReading | None = None

    async def read(self) -> EngineReading:
        page = self._parser.parse(self._page.next())
        self._previous = read_page(
            self._profile, page, server="vllm-0", at_seconds=self._clock(), previous=self._previous
        )
        return self._previous

    async def aclose(self) -> None:
        return None


def rows(quick: bool) -> list[Row]:
    """Resident memory after the first ticks, and what later ticks added."""
    ticks = 500 if quick else 2000
    command = [sys.executable, "-m", "tests.bench.bench_memory", str(ticks)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    before, after = json.loads(done.stdout)
    return [
        Row(f"resident after {SETTLE_TICKS} ticks", before / 2**20, "MiB"),
        Row(f"growth over {ticks} more ticks", (after - before) / 2**20, "MiB", GROWTH_MEBIBYTES),
    ]


async def grow(ticks: int) -> tuple[int, int]:
    """Resident bytes before and after that many ticks."""
    clock = Clock()
    cards = [FakeGpu(snapshots.uuid(index), serial="") for index in range(GPUS)]
    publisher = Publisher(About(), clock=clock)
    sources = [GpuSource(FakeDriver(*cards), clock), PageReader(clock)]
    sampler = Sampler(sources, snapshots.POLICY, publisher.publish, Clocks(clock, time.time))

    async def pass_time(count: int) -> int:
        for _ in range(count):
            clock.advance(snapshots.INTERVAL)
            for card in cards:
                card.millijoules += 2_000_000
            await sampler.tick()
            for variant in VARIANTS:
                assert publisher._pages.page(variant)
        gc.collect()
        return memory_bytes(os.getpid())

    try:
        return await pass_time(SETTLE_TICKS), await pass_time(ticks)
    finally:
        await sampler.aclose()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(grow(int(sys.argv[1])))))
