"""The whole program with 8 stub GPUs and one vLLM server, at the default interval, scraped as Prometheus does."""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.observed import (
    CpuShare,
    PageServer,
    Scraper,
    driver,
    event_loop_cpu_seconds,
    memory_bytes,
    page_server,
    program,
    waited_seconds,
)
from tests.bench.rows import Row, median, percentile
from tests.end_to_end.programs import Goodwatt, Page, free_port, get, goodwatt, until
from tests.fakes.nvml_stub import Stub, stub_of

GPUS = 8
CONFIG = """
servers: [{{name: vllm-0, url: "{url}"}}]
cost: {{currency: USD, price_per_gpu_hour: 1.69}}
"""
CPU_PERCENT = 0.5
RSS_MEBIBYTES = 64.0
START_SECONDS = 2.0
P99_MILLISECONDS = 5.0
SCRAPES = 300


@dataclass(frozen=True)
class Plan:
    """Durations and repetitions."""

    settle_seconds: float
    watch_seconds: float
    starts: int
    rounds: int
    grid_seconds: float  # between two timed scrapes; 300 of them cover several ticks


FULL = Plan(settle_seconds=20, watch_seconds=60, starts=5, rounds=5, grid_seconds=0.05)
QUICK = Plan(settle_seconds=6, watch_seconds=20, starts=3, rounds=1, grid_seconds=0.04)


def rows(quick: bool) -> list[Row]:
    """Start time, CPU, memory and latency; then latency and CPU while driver and server both hang."""
    plan = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder, page_server() as server:
        path = Path(folder)
        stub, library = stub_of(path, GPUS), driver(path)
        environment, config = stub.environ(library), CONFIG.format(url=server.url)
        found = _starts(path, config, environment, plan)
        with goodwatt(path, "run", config=config, environment=environment) as running:
            found += _healthy(running, server, plan)
            _break_everything(running, server, stub)
            found += _hanging(running, server, plan)
    return found


def _starts(path: Path, config: str, environment: dict[str, str], plan: Plan) -> list[Row]:
    took = [_start_seconds(path, config, environment) for _ in range(plan.starts)]
    wall, waited = (median(one[part] for one in took) for part in (0, 1))
    return [
        Row(f"start to first served page, median of {plan.starts}", wall, "s", START_SECONDS),
        Row("of which CPU wait", waited, "s"),
    ]


def _start_seconds(path: Path, config: str, environment: dict[str, str]) -> tuple[float, float]:
    (path / "start.yaml").write_text(config)
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "goodwatt", "run", "--config", str(path / "start.yaml")]
    began = time.monotonic()
    with program([*command, "--web.listen-address", address], environment) as process:
        while not _served(f"http://{address}/metrics"):
            assert time.monotonic() - began < 20, "goodwatt does not start"
            time.sleep(0.01)
        return time.monotonic() - began, waited_seconds(process.pid)


def _served(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def _healthy(running: Goodwatt, server: PageServer, plan: Plan) -> list[Row]:
    time.sleep(plan.settle_seconds)
    with _scrapers(running, server) as (ours, plain):
        page = Page.parse(ours.page())
        assert page.sum("goodwatt_gpu_power_watts") == GPUS * 400, running.logged()
        assert page.sum("goodwatt_server_up") == 1, running.logged()
        percent = _watched(ours, CpuShare(running.process.pid), plan.watch_seconds)
        rss = memory_bytes(running.process.pid) / 2**20
        latency = _latency(running, ours, plain, plan, "")
        size = len(ours.sent)
    return [
        Row(f"CPU over {plan.watch_seconds:g} s, scraped every 15 s", percent, "% of core", CPU_PERCENT),
        Row("resident memory", rss, "MiB", RSS_MEBIBYTES),
        *latency,
        Row("/metrics page, gzip", size / 1000, "KB"),
    ]


def _hanging(running: Goodwatt, server: PageServer, plan: Plan) -> list[Row]:
    """Excludes the thread of the stub driver from CPU, since it polls while it hangs and a real driver does not."""
    with _scrapers(running, server) as (ours, plain):
        percent = _watched(ours, CpuShare(running.process.pid, event_loop_cpu_seconds), plan.watch_seconds / 2)
        latency = _latency(running, ours, plain, plan, ", all hanging")
    return [Row("CPU outside the driver, all hanging", percent, "% of core", CPU_PERCENT), *latency]


def _watched(scraper: Scraper, share: CpuShare, seconds: float) -> float:
    """Percent of a core with a scrape every 15 s."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(15.0, left))
        scraper.scrape()
    return share.percent()


def _latency(running: Goodwatt, ours: Scraper, plain: Scraper, plan: Plan, when: str) -> list[Row]:
    """The round with the fastest bare page of another program, when the machine was least busy."""
    rounds = [_round(running, ours, plain, plan.grid_seconds) for _ in range(plan.rounds)]
    best = min(rounds, key=lambda round_: percentile(round_.bare, 0.99))
    of = f"of {SCRAPES}{when}"
    return [
        Row(f"/metrics p50 {of}", percentile(best.ours, 0.5), "ms"),
        Row(f"/metrics p99 {of}", percentile(best.ours, 0.99), "ms", P99_MILLISECONDS),
        Row(f"/metrics p99 {of}, minus CPU wait", percentile(best.unhindered, 0.99), "ms", P99_MILLISECONDS),
        Row(f"/metrics worst {of}", max(best.ours), "ms"),
        Row(f"bare aiohttp page beside it, p50 {of}", percentile(best.bare, 0.5), "ms"),
        Row(f"bare aiohttp page beside it, p99 {of}", percentile(best.bare, 0.99), "ms"),
    ]


@dataclass
class Round:
    """Milliseconds per scrape: goodwatt's, the same minus both ends' CPU wait, and a bare page's."""

    ours: list[float] = field(default_factory=list)
    unhindered: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def _round(running: Goodwatt, ours: Scraper, plain: Scraper, grid_seconds: float) -> Round:
    began, found = time.monotonic(), Round()
    for number in range(SCRAPES):
        time.sleep(max(began + number * grid_seconds - time.monotonic(), 0.0))
        before = _waited(running)
        took = ours.scrape()
        found.ours.append(1000 * took)
        found.unhindered.append(1000 * max(took - (_waited(running) - before), 0.0))
        found.bare.append(1000 * plain.scrape())
    return found


def _waited(running: Goodwatt) -> float:
    return waited_seconds(running.process.pid) + waited_seconds("thread-self")


def _break_everything(running: Goodwatt, server: PageServer, stub: Stub) -> None:
    stub.hangs[("*", "*")] = 3600.0
    stub.write()
    server.hang()
    with contextlib.closing(Scraper(running.url)) as ours:
        until(lambda: Page.parse(ours.page()).sum("goodwatt_source_up") == 0, seconds=20, why=running.logged)


@contextlib.contextmanager
def _scrapers(running: Goodwatt, server: PageServer) -> Iterator[tuple[Scraper, Scraper]]:
    with contextlib.closing(Scraper(running.url)) as ours, contextlib.closing(Scraper(server.url, "/plain")) as plain:
        yield ours, plain
