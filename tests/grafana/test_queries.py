"""Every query of every dashboard against a real Prometheus that scrapes the demo."""

import http.server
import json
import math
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from grafana.board import Board, Variable
from grafana.files import BOARDS
from grafana.panels import Panel
from tests.end_to_end.programs import Goodwatt, Prometheus, get, goodwatt, prometheus, until
from tests.grafana.expressions import Asked, asked, filled

# Short windows make the SLO counters move during the test. The thresholds lie on bucket edges that some requests always
# meet, so even the lower bound of an overloaded server moves.
CONFIG = """\
interval_seconds: 1
window_seconds: 3
cost: {currency: USD, price_per_gpu_hour: 1.69}
carbon: {grams_per_kwh: 400}
slos:
  - {name: chat, ttft_seconds: 20, tpot_seconds: 0.5, objective_ratio: 0.95}
"""
CLOCK = {"__rate_interval": "8s", "__range": "20s", "__interval": "1s"}
SAMPLE = re.compile(r"^([a-z]\w*(?:\{.*\})?) \S+$", re.MULTILINE)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, Prometheus]]:
    """One Prometheus scrapes the demo, the other the demo's page with every value set to 0."""
    one, other = tmp_path_factory.mktemp("seen"), tmp_path_factory.mktemp("idle")
    with (
        goodwatt(one, "demo", config=CONFIG) as running,
        _served(lambda: SAMPLE.sub(r"\1 0", get(f"{running.url}/metrics", {"Accept": "text/plain"})[1])) as still,
        prometheus(one, running.url.removeprefix("http://")) as seen,
        prometheus(other, still) as idle,
    ):
        for server in (seen, idle):
            until(lambda server=server: _is_ready(running, server), seconds=40, why=running.logged)
        yield seen, idle


@pytest.fixture(scope="module")
def seen(both: tuple[Prometheus, Prometheus]) -> Prometheus:
    return both[0]


@pytest.fixture(scope="module")
def idle(both: tuple[Prometheus, Prometheus]) -> Prometheus:
    return both[1]


def _is_ready(running: Goodwatt, server: Prometheus) -> bool:
    """Whether Prometheus has several SLO samples of both simulated servers."""
    assert running.process.poll() is None
    return len(server.query('count_over_time(goodwatt_slo_requests_total{method="histogram"}[10s]) > 4')) >= 2


@contextmanager
def _served(page: Callable[[], str]) -> Iterator[str]:
    """Serve the page and yield its host and port."""

    class Always(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(page().encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Always)
    serving = threading.Thread(target=server.serve_forever, args=(0.05,))
    serving.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def offered(server: Prometheus, query: str) -> list[str]:
    """Return the values of a variable in Grafana's order."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert found, query
    match = urllib.parse.urlencode({"match[]": found[1]})
    return sorted(json.loads(get(f"{server.url}/api/v1/label/{found[2]}/values?{match}")[1])["data"])


def chosen(server: Prometheus, board: Board, *, everything: bool) -> dict[str, str]:
    """Return the variables' values when a board opens, or with one value of each selected."""
    values = dict(CLOCK)
    for variable in board.variables:
        if isinstance(variable, Variable):
            offers = offered(server, filled(variable.query, values))
            assert offers, f"{board.title}: {variable.name}: {filled(variable.query, values)}"
            one = offers[-1 if variable.last_first else 0]
            values[variable.name] = variable.everything if everything and variable.several else one
        else:
            values[variable.name] = variable.values[0][1]
    return values


def answers(server: Prometheus, *, everything: bool = True) -> Iterator[tuple[Asked, list[Any]]]:
    """Run every query and yield its result."""
    values = {board.uid: chosen(server, board, everything=everything) for board in BOARDS}
    for one in asked():
        yield one, server.query(filled(one.query.expression, values[one.board.uid]))


@pytest.mark.parametrize("everything", [True, False], ids=["all", "one of each"])
def test_every_query_answers(seen: Prometheus, everything: bool) -> None:
    """Every expression returns data or states why it may be empty, for All and for one value of each variable.

    It retries, because on a busy machine the lower bound of good requests can be 0 at first.
    """

    def silent() -> list[Asked]:
        return [one for one, answer in answers(seen, everything=everything) if not answer and not one.query.optional]

    until(lambda: not silent(), seconds=30, why=lambda: "\n".join(map(str, silent())))


def test_few_queries_are_optional(seen: Prometheus) -> None:
    """Fewer than a quarter of the queries may be empty, and each states a reason of four words or more."""
    optional = [one for one in asked() if one.query.optional]
    assert len(optional) < len(list(asked())) / 4
    assert all(len(one.query.optional.split()) >= 4 for one in optional)


def test_no_query_returns_nan_or_infinity(seen: Prometheus, idle: Prometheus) -> None:
    """No query returns NaN or infinity, on a busy fleet or with every figure at 0."""
    for server in (seen, idle):
        results = list(answers(server))
        assert sum(bool(answer) for _, answer in results) > len(results) / 3
        for one, answer in results:
            assert all(math.isfinite(float(series["value"][1])) for series in answer), str(one)


def test_columns_of_tables_are_filled(seen: Prometheus) -> None:
    """Every label column of a table is returned by at least one of its queries."""
    labels: dict[int, set[str]] = {}
    tables: dict[int, Panel] = {}
    for one, answer in answers(seen):
        if one.panel.json["type"] == "table":
            tables[id(one.panel)] = one.panel
            labels.setdefault(id(one.panel), set()).update(*(series["metric"] for series in answer))
    assert tables
    for key, panel in tables.items():
        columns = panel.json["transformations"][1]["options"]["includeByName"]
        values = {f"Value #{target['refId']}" for target in panel.json["targets"]}
        assert set(columns) <= labels[key] | values, panel.title


def test_annotations_have_recent_times(seen: Prometheus) -> None:
    """Annotations return recent times in milliseconds."""
    for board in BOARDS:
        values = chosen(seen, board, everything=True)
        for marks in board.annotations:
            answer = seen.query(filled(marks.expression, values))
            assert answer
            assert all(abs(float(series["value"][1]) / 1000 - time.time()) < 600 for series in answer)
