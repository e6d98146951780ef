"""Spans over real HTTP into `goodwatt run`, and the metrics it publishes from them."""

import signal
import socket
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs import Goodwatt, Page, free_port, goodwatt, until
from tests.fakes.engine_thread import EngineThread
from tests.fakes.otlp import GZIP, PATH, PROTOBUF, Row, in_protobuf, vllm_row, zipped

CONFIG = """
interval_seconds: 0.25
gpus: {{kind: none}}
servers:
  - {{name: a, url: "{a}"}}
  - {{name: b, url: "{b}"}}
slos:
  - {{name: strict, ttft_seconds: 0.25, tpot_seconds: 0.01}}
  - {{name: loose, e2e_seconds: 60}}
otlp:
  listen: 127.0.0.1:{port}
  services: {{the-other: b}}
"""


class Running:
    """A running goodwatt and its OTLP endpoint."""

    def __init__(self, process: Goodwatt, port: int) -> None:
        self.process = process
        self.port = port

    def send(self, rows: Iterable[Row]) -> int:
        body = zipped(in_protobuf(rows))
        url = f"http://127.0.0.1:{self.port}{PATH}"
        with urllib.request.urlopen(urllib.request.Request(url, body, PROTOBUF | GZIP), timeout=5) as answer:
            return int(answer.status)

    def page(self, records: int) -> Page:
        """The page once that many requests are counted."""
        return until(
            lambda: page if (page := self.process.page()).sum("goodwatt_request_records_total") == records else None,
            seconds=10,
            why=self.process.logged,
        )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    port = free_port()
    with EngineThread(("a", "b")) as engines:
        config = CONFIG.format(a=engines.url("a"), b=engines.url("b"), port=port)
        with goodwatt(tmp_path, "run", config=config) as process:
            until(lambda: process.page().sum("goodwatt_source_up", source="otlp") == 1, seconds=10, why=process.logged)
            yield Running(process, port)


def exact(page: Page, server: str) -> tuple[float | None, ...]:
    """Eligible requests, good requests and good tokens of the strict objective."""
    names = "slo_requests_total", "slo_good_requests_total", "slo_good_tokens_total"
    return tuple(page.sum(f"goodwatt_{name}", server=server, slo="strict", method="exact") for name in names)


def test_every_request_is_judged_by_itself_and_once(running: Running) -> None:
    """Fast and slow requests of two servers, sent twice and mixed with foreign spans, are counted exactly."""
    rows = [
        *(vllm_row(n, service="a", ttft=0.25, tpot=0.009, tokens=11) for n in range(30)),
        *(vllm_row(100 + n, service="a", ttft=0.26, tpot=0.009) for n in range(7)),
        *(vllm_row(200 + n, service="a", ttft=0.1, tpot=0.011) for n in range(5)),
        *(vllm_row(300 + n, service="the-other", ttft=0.1, tpot=0.005, tokens=21) for n in range(4)),
        {**vllm_row(400, service="a"), "name": "load_model"},
        vllm_row(401, service="nobody"),
    ]
    assert running.send(rows) == 200
    running.page(46)
    assert running.send(rows) == 200
    until(
        lambda: running.process.page().sum(DROPPED_TOTAL, reason="duplicate") == 46,
        seconds=10,
        why=running.process.logged,
    )
    page = running.process.page()
    assert page.sum("goodwatt_request_records_total") == 46
    assert exact(page, "a") == (42, 30, 330)
    assert exact(page, "b") == (4, 4, 84)
    dropped = {reason: page.sum(DROPPED_TOTAL, source="otlp", reason=reason) for reason in DROPPED}
    assert dropped == DROPPED
    within = page.sum("goodwatt_exact_time_to_first_token_seconds_bucket", server="a", le="0.25")
    assert within == 35, "the threshold is an edge of the histogram, inclusive"
    assert page.sum("goodwatt_exact_request_duration_seconds_count", server="b") == 4


DROPPED_TOTAL = "goodwatt_request_records_dropped_total"
DROPPED = {"duplicate": 46, "foreign": 2, "unknown_server": 2}


def test_it_ends_at_once_with_clients_connected(running: Running) -> None:
    """SIGTERM ends it in under 2 s despite idle connections and a half-sent body."""
    with (
        socket.create_connection(("127.0.0.1", running.port)),
        socket.create_connection(("127.0.0.1", running.port)) as half,
    ):
        half.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        time.sleep(0.3)
        code, seconds = running.process.terminate()
    assert code == 0 and seconds < 2.0


def test_a_reload_moves_the_receiver_and_keeps_what_was_counted(running: Running, tmp_path: Path) -> None:
    """After SIGHUP it receives spans at the new address, and counters continue."""
    running.send([vllm_row(1, service="a")])
    running.page(1)
    old, running.port = running.port, free_port()
    file = tmp_path / "goodwatt.yaml"
    file.write_text(file.read_text().replace(str(old), str(running.port)))
    running.process.process.send_signal(signal.SIGHUP)
    until(lambda: running.send([vllm_row(2, service="a")]) == 200, seconds=5, why=running.process.logged)
    running.page(2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old))


def test_a_taken_port_is_said_and_tried_again(tmp_path: Path) -> None:
    """While the address is in use everything else works; once it is free, spans are received."""
    with EngineThread(("a", "b")) as engines, socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = CONFIG.format(a=engines.url("a"), b=engines.url("b"), port=port)
        with goodwatt(tmp_path, "run", config=config) as process:
            page = until(lambda: p if (p := process.page()).sum("goodwatt_server_up") == 2 else None, seconds=10)
            assert page.sum("goodwatt_source_up", source="otlp") == 0
            assert page.sum("goodwatt_source_failures_total", source="otlp", reason="cannot_listen") >= 1  # type: ignore[operator]
            lines = [line for line in process.logged().splitlines() if "otlp" in line]
            assert len(lines) == 1 and "choose another port with otlp.listen" in lines[0]
            other.close()
            running = Running(process, port)
            until(lambda: running.send([vllm_row(1, service="a")]) == 200, seconds=5, why=process.logged)
            running.page(1)
