"""64 servers in one process: CPU per tick with local 58 KB pages, and the effect of dead and hanging servers on others.

The sources are the real ones, over HTTP, one connection each; the pages come from another process and grow with every
scrape. Publishing has a separate bench.
"""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

from goodwatt.engines import load_profiles
from goodwatt.model.snapshot import Snapshot
from goodwatt.runtime.sampler import Sampler
from goodwatt.settings.sources import MAX_SERVERS, ServerSection
from goodwatt.sources.engine.source import EngineSource
from tests.bench.observed import page_server
from tests.bench.rows import Row, median, percentile
from tests.fakes import snapshots
from tests.fakes.http_server import unused_port

TARGET_MILLISECONDS = 250.0
LOOK_TARGET_MILLISECONDS = 1000.0
SICK = 4  # dead ones, and as many that hang
HANG_SECONDS = 0.5
SETTLE_TICKS = 3  # until connections are open and engines detected


def rows(quick: bool) -> list[Row]:
    """CPU per tick, and how long a server's read takes with and without dead and hanging ones."""
    ticks = 5 if quick else 30
    logging.getLogger("goodwatt").addHandler(logging.NullHandler())  # failures of the sick servers are expected
    with page_server() as pages, page_server() as hung:
        well = _sections([pages.url] * MAX_SERVERS)
        cpu, alone = asyncio.run(_ticks(well, ticks))
        looks = [_look(pages.url) for _ in range(3 if quick else 9)]
        hung.hang()
        sick = _sections([*[hung.url] * SICK, *[f"http://127.0.0.1:{unused_port()}"] * SICK], "x")
        _, beside = asyncio.run(_ticks([*sick, *well[2 * SICK :]], ticks))
    return [
        Row(f"CPU of a tick, {MAX_SERVERS} servers, median", median(cpu), "ms", TARGET_MILLISECONDS),
        Row(f"CPU of a tick, {MAX_SERVERS} servers, p99", percentile(cpu, 0.99), "ms"),
        Row("read of one of them, median", median(alone), "ms"),
        Row(f"the same beside {SICK} dead and {SICK} hung ones", median(beside), "ms"),
        Row("goodwatt engines --url, from start to end, median", median(looks), "ms", LOOK_TARGET_MILLISECONDS),
    ]


def _look(url: str) -> float:
    """Milliseconds of the whole command, including engine detection."""
    began = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-m", "goodwatt", "engines", "--url", url], check=True, capture_output=True, text=True
    ).stdout
    assert said.startswith("engine     vLLM")
    return (time.monotonic() - began) * 1000


def _sections(urls: Iterable[str], name: str = "s") -> list[ServerSection]:
    return [ServerSection(name=f"{name}{n}", url=url, timeout_seconds=HANG_SECONDS) for n, url in enumerate(urls)]


async def _ticks(sections: Sequence[ServerSection], ticks: int) -> tuple[list[float], list[float]]:
    """Milliseconds of CPU per tick, and from its start to each healthy server's page."""
    profiles = load_profiles()
    sources = [EngineSource(section, profiles) for section in sections]
    sampler = Sampler(sources, snapshots.POLICY, lambda _: None)
    cpu, reads = [], []
    for tick in range(SETTLE_TICKS + ticks):
        began = time.process_time()
        snapshot = await sampler.tick()
        if tick >= SETTLE_TICKS:
            cpu.append((time.process_time() - began) * 1000)
            reads += _reads(snapshot)
    await sampler.aclose()
    return cpu, reads


def _reads(snapshot: Snapshot) -> list[float]:
    well = [
        state.duration_seconds * 1000 for state in snapshot.sources if state.source.startswith("server/s") and state.up
    ]
    assert well, "no server could be read"
    return well
