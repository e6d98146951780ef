"""Spans at 2,000 a second: CPU of the whole program and scrape latency; memory over 100,000 requests.

Bodies are those of OpenTelemetry's Python exporter for a vLLM with OTEL_EXPORTER_OTLP_COMPRESSION=gzip: protobuf, 512
spans each. They are encoded before timing starts. One vLLM page is read every second too, and three
objectives apply to every request.
"""

import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.bench.observed import CpuShare, Scraper, memory_bytes, page_server
from tests.bench.rows import Row, percentile
from tests.end_to_end.programs import Goodwatt, free_port, goodwatt, until
from tests.fakes.otlp import GZIP, PATH, PROTOBUF, in_protobuf, vllm_row, zipped

BATCH = 512  # the maximum of the SDK's batch processor
SPANS_PER_SECOND = 2000.0
GROUP = 20  # batches
CPU_PERCENT = 10.0
GROWTH_MEBIBYTES = 1.0
SETTLED = 100_000  # requests after which the key memory is full
REQUESTS = 100_000
CONFIG = """
interval_seconds: 1
gpus: {{kind: none}}
servers: [{{name: vllm-0, url: "{url}"}}]
slos:
  - {{name: a, ttft_seconds: 0.1, tpot_seconds: 0.01}}
  - {{name: b, ttft_seconds: 0.5, tpot_seconds: 0.05, e2e_seconds: 5}}
  - {{name: c, e2e_seconds: 2}}
otlp: {{listen: "127.0.0.1:{port}", queue_requests: 200000}}
"""


class Sender:
    """An exporter on one connection. Every span it sends is new."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self._made = 0
        self.sent = 0

    def bodies(self, count: int) -> Iterator[bytes]:
        """That many batches, each encoded on demand."""
        for _ in range(count):
            numbers = range(self._made, self._made + BATCH)
            self._made += BATCH
            yield zipped(in_protobuf(_row(number) for number in numbers))

    def send(self, body: bytes) -> None:
        self._connection.request("POST", PATH, body, PROTOBUF | GZIP)
        answer = self._connection.getresponse()
        assert answer.status == 200 and not answer.read(), "goodwatt refused spans"
        self.sent += BATCH

    def close(self) -> None:
        self._connection.close()


def _row(number: int) -> dict[str, object]:
    """A span with latencies that vary by request, on both sides of the thresholds."""
    return vllm_row(
        number,
        service="vllm-0",
        ttft=0.02 + number % 97 / 300,
        tpot=0.004 + number % 89 / 4000,
        tokens=2 + number % 300,
        end_ns=time.time_ns(),
    )


def rows(quick: bool) -> list[Row]:
    """CPU with and without spans, concurrent scrapes, and memory."""
    seconds = 10.0 if quick else 40.0
    with tempfile.TemporaryDirectory() as folder, page_server() as server:
        port = free_port()
        config = CONFIG.format(url=server.url, port=port)
        with goodwatt(Path(folder), "run", config=config) as running, closing(Sender(port)) as sender:
            until(lambda: running.page().sum("goodwatt_source_up", source="otlp") == 1, seconds=15, why=running.logged)
            found = [*_cpu(running, sender, seconds), *_memory(running, sender, REQUESTS)]
            until(lambda: _records(running) == sender.sent, seconds=15, why=running.logged)
    return found


def _records(running: Goodwatt) -> float | None:
    return running.page().sum("goodwatt_request_records_total")


def _cpu(running: Goodwatt, sender: Sender, seconds: float) -> list[Row]:
    bodies = list(sender.bodies(round(seconds * SPANS_PER_SECOND / BATCH)))
    share = CpuShare(running.process.pid)
    time.sleep(seconds / 2)
    idle, share = share.percent(), CpuShare(running.process.pid)
    with closing(Scraper(running.url)) as scraper:
        latencies = list(_on_a_grid(sender, scraper, bodies))
        busy = share.percent()
    return [
        Row(f"CPU at {SPANS_PER_SECOND:g} spans/s over {seconds:g} s", busy, "% of core", CPU_PERCENT),
        Row("CPU without spans", idle, "% of core"),
        Row("CPU of a span", (busy - idle) / 100 / SPANS_PER_SECOND * 1e6, "us"),
        Row(f"/metrics right after a batch of {BATCH}, p50", percentile(latencies, 0.5), "ms"),
        Row(f"/metrics right after a batch of {BATCH}, p99", percentile(latencies, 0.99), "ms"),
    ]


def _on_a_grid(sender: Sender, scraper: Scraper, bodies: list[bytes]) -> Iterator[float]:
    began = time.monotonic()
    for number, body in enumerate(bodies):
        time.sleep(max(began + number * BATCH / SPANS_PER_SECOND - time.monotonic(), 0.0))
        sender.send(body)
        yield 1000 * scraper.scrape()


def _memory(running: Goodwatt, sender: Sender, requests: int) -> list[Row]:
    """Peak resident memory over that many requests, and again over as many more."""
    for body in sender.bodies(max(SETTLED - sender.sent, 0) // BATCH + 1):
        sender.send(body)
    before, after = (_most_resident(running, sender, requests) for _ in range(2))
    return [
        Row(f"most resident over {requests} requests", before / 2**20, "MiB"),
        Row(f"growth over {requests} more", (after - before) / 2**20, "MiB", GROWTH_MEBIBYTES),
    ]


def _most_resident(running: Goodwatt, sender: Sender, requests: int) -> int:
    """Sends groups of what 2,000 spans a second bring in a 5 s tick, each counted before the next is sent."""
    most = 0
    for number, body in enumerate(sender.bodies(requests // BATCH), 1):
        sender.send(body)
        most = max(most, memory_bytes(running.process.pid))
        if number % GROUP == 0:
            until(lambda: _records(running) == sender.sent, seconds=15, why=running.logged)
    until(lambda: _records(running) == sender.sent, seconds=15, why=running.logged)
    return most
