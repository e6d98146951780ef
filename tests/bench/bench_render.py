"""Rendering a page compared with prometheus_client, and loopback scrapes: `python -m tests.bench.bench_render`."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition import writer
from goodwatt.publish.exposition.collector import snapshot_registry
from goodwatt.publish.exposition.formats import ExpositionFormat, ExpositionPages, Variant
from goodwatt.publish.http import About, Publisher
from goodwatt.publish.metrics.table import metric_table
from tests.bench.rows import Row, as_lines, median, percentile
from tests.fakes.snapshots import snapshot

ABOUT = About("bench", "bench", "bench")
GPUS = (1, 8, 64)
GPUS_OF_THE_TARGETS = 8
SCRAPE_P99_MILLISECONDS = 5.0
SCRAPES_A_SNAPSHOT = 5
PROMETHEUS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "Accept-Encoding": "gzip"}


def rows(quick: bool) -> list[Row]:
    """Each figure at 1, 8 and 64 GPUs with one vLLM server; targets apply at 8."""
    rounds, scrapes = (60, 300) if quick else (300, 1000)
    found: list[Row] = []
    for gpus in GPUS:
        picture = snapshot(gpus)
        found += _rendering(gpus, picture, rounds)
        found += _quantiles(f"scrape, {gpus} GPUs", asyncio.run(_scrapes(picture, scrapes)), _target(gpus))
    return found


def _rendering(gpus: int, picture: Snapshot, rounds: int) -> Iterator[Row]:
    rows_ = metric_table(ABOUT)
    source = snapshot_registry(rows_, lambda: picture)
    yield Row(f"page, {gpus} GPUs", len(writer.write_text(source.collect())), "bytes")
    forms: Iterable[tuple[str, Callable[[], bytes], Callable[[CollectorRegistry], bytes]]] = (
        ("text", lambda: writer.write_text(source.collect()), generate_latest),
        ("OpenMetrics", lambda: writer.write_openmetrics(source.collect()), generate_openmetrics),
    )
    for name, ours, theirs in forms:
        own = _timed(ours, rounds)
        yield from _quantiles(f"render {name}, {gpus} GPUs", own)
        ratio = median(own) / median(_timed(lambda theirs=theirs: theirs(source), rounds // 3))  # type: ignore[misc]
        yield Row(f"render {name} / prometheus_client, {gpus} GPUs", ratio, "ratio", 1.0)
    pages = ExpositionPages(rows_, time.monotonic)
    pages.show(picture)
    pages.page(Variant(ExpositionFormat.OPENMETRICS, gzip=True))
    yield from _quantiles(f"new snapshot, {gpus} GPUs", _timed(lambda: pages.show(picture), rounds))


def _timed(work: Callable[[], object], rounds: int) -> list[float]:
    return [_milliseconds(work) for _ in range(rounds)]


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _quantiles(name: str, times: list[float], p99_target: float | None = None) -> Iterator[Row]:
    yield Row(f"{name}, p50", median(times), "ms")
    yield Row(f"{name}, p99", percentile(times, 0.99), "ms", p99_target)


def _target(gpus: int) -> float | None:
    return SCRAPE_P99_MILLISECONDS if gpus == GPUS_OF_THE_TARGETS else None


async def _scrapes(picture: Snapshot, scrapes: int) -> list[float]:
    """Milliseconds per scrape, requested as Prometheus does, with a new snapshot every few."""
    publisher = Publisher(ABOUT)
    address = await publisher.start("127.0.0.1", 0)
    times = []
    async with ClientSession(address.url, headers=PROMETHEUS, auto_decompress=False) as client:
        for scrape in range(scrapes):
            if scrape % SCRAPES_A_SNAPSHOT == 0:
                publisher.latest = picture
            began = time.perf_counter()
            async with client.get("/metrics") as answer:
                await answer.read()
            times.append((time.perf_counter() - began) * 1000)
    await publisher.aclose()
    return times


if __name__ == "__main__":
    print(as_lines("render", rows(quick=False)), end="")
