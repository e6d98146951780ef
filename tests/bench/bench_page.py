"""The live page's cost per tick with no page open and with ten. Readers run in a separate process.

CPU time is this process's, which publishes and sends: 8 GPUs and one server with an hour of trends.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.http import About, Publisher
from goodwatt.publish.page.cards import record_headlines
from goodwatt.publish.page.history import HOUR_SECONDS, History
from goodwatt.publish.page.live import live_event, live_nodes
from tests.bench.rows import Row, median
from tests.fakes.snapshots import INTERVAL, snapshot

GPUS = 8
PAGES = 10
PAUSE_SECONDS = 0.004  # time for events to be sent
ROUNDS = 5
ASK = b"GET /-/events HTTP/1.0\r\n\r\n"


def rows(quick: bool) -> list[Row]:
    """CPU of each case and their ratio; the trends alone; bytes per event."""
    ticks = 100 if quick else 300
    picture = snapshot(GPUS)
    nobody, looked_at = asyncio.run(_both(picture, ticks))
    return [
        Row("publish a tick, no page open", nobody, "ms"),
        Row(f"publish a tick, {PAGES} pages open", looked_at, "ms"),
        Row(f"{PAGES} pages open / none", looked_at / nobody, "ratio"),
        Row("of a tick with no page open: keep the trends", median(_kept(picture, ticks)), "ms", 0.1),
        Row("an event, with an hour of trends", _bytes(picture), "bytes"),
    ]


def _pictures(picture: Snapshot, ticks: int) -> Iterator[Snapshot]:
    for tick in range(ticks):
        later = tick * INTERVAL
        yield replace(picture, at_seconds=picture.at_seconds + later, unix_seconds=picture.unix_seconds + later)


def _kept(picture: Snapshot, ticks: int) -> Iterator[float]:
    history = History()
    for one in _pictures(picture, ticks):
        began = time.perf_counter()
        record_headlines(history, one)
        yield (time.perf_counter() - began) * 1000


async def _both(picture: Snapshot, ticks: int) -> tuple[float, float]:
    """Medians of alternating rounds, so a busy machine affects both alike."""
    found: dict[int, list[float]] = {0: [], PAGES: []}
    for _ in range(ROUNDS):
        for pages, spent in found.items():
            spent.append(await _published(picture, ticks, pages))
    return median(found[0]), median(found[PAGES])


async def _published(picture: Snapshot, ticks: int, pages: int) -> float:
    """Milliseconds of CPU per tick."""
    publisher = Publisher(About("bench", "bench", "bench"))
    address = await publisher.start("127.0.0.1", 0)
    for one in _pictures(picture, int(HOUR_SECONDS / INTERVAL)):
        publisher.latest = one
    command = [sys.executable, "-m", "tests.bench.bench_page", str(address.port), str(pages)]
    readers = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert readers.stdout is not None
    assert await readers.stdout.readline() == b"reading\n"
    began = time.process_time()
    for one in _pictures(picture, ticks):
        publisher.latest = one
        await asyncio.sleep(PAUSE_SECONDS)
    spent = time.process_time() - began
    await publisher.aclose()
    await readers.wait()
    return spent * 1000 / ticks


def _bytes(picture: Snapshot) -> int:
    history = History()
    for one in _pictures(picture, int(HOUR_SECONDS / INTERVAL)):
        record_headlines(history, one)
    return len(live_event(picture, "bench", live_nodes(picture, About("bench"), history)))


async def _read(port: int, pages: int) -> None:
    """Open that many pages, report it, and read events until the end."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(pages)]
    for reader, writer in streams:
        writer.write(ASK)
        await reader.readuntil(b"data: ")
    print("reading", flush=True)
    await asyncio.gather(*(_drained(reader) for reader, _ in streams))


async def _drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


if __name__ == "__main__":
    asyncio.run(_read(int(sys.argv[1]), int(sys.argv[2])))
