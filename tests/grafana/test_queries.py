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

# Windows that close every few seconds, so that the counters of objectives move while the test looks on; thresholds on
# edges of buckets that some requests keep at any time, so that even the lower bound moves where a server is overloaded.
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
    """One looks at the demo, the other at the demo's page with a 0 in place of every value."""
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
    """Both simulated servers have seen windows close since Prometheus looks: their evidence has been there a while."""
    assert running.process.poll() is None
    return len(server.query('count_over_time(goodwatt_slo_requests_total{method="histogram"}[10s]) > 4')) >= 2


@contextmanager
def _served(page: Callable[[], str]) -> Iterator[str]:
    """Host and port at which this page is served."""

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
    """The values that a variable offers, in Grafana's order."""
    found = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert found, query
    match = urllib.parse.urlencode({"match[]": found[1]})
    return sorted(json.loads(get(f"{server.url}/api/v1/label/{found[2]}/values?{match}")[1])["data"])


def chosen(server: Prometheus, board: Board, *, everything: bool) -> dict[str, str]:
    """What every variable stands for when a board opens, or when one value of each is chosen."""
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
    """What every query returns."""
    values = {board.uid: chosen(server, board, everything=everything) for board in BOARDS}
    for one in asked():
        yield one, server.query(filled(one.query.expression, values[one.board.uid]))


@pytest.mark.parametrize("everything", [True, False], ids=["all", "one of each"])
def test_every_query_answers(seen: Prometheus, everything: bool) -> None:
    """Each expression parses and returns data, unless it says why it may not: for All, and for one value of each.

    Within a while: on a busy machine a lower bound of good requests may be 0 in the first windows.
    """

    def silent() -> list[Asked]:
        return [one for one, answer in answers(seen, everything=everything) if not answer and not one.query.optional]

    until(lambda: not silent(), seconds=30, why=lambda: "\n".join(map(str, silent())))


def test_reasons_are_not_excuses(seen: Prometheus) -> None:
    """Most queries have no excuse, and each reason is a sentence's worth of words."""
    optional = [one for one in asked() if one.query.optional]
    assert len(optional) < len(list(asked())) / 4
    assert all(len(one.query.optional.split()) >= 4 for one in optional)


def test_no_query_returns_what_is_not_a_number(seen: Prometheus, idle: Prometheus) -> None:
    """Neither on a busy fleet nor where every figure is 0 is there a NaN or an infinity to show."""
    for server in (seen, idle):
        told = list(answers(server))
        assert sum(bool(answer) for _, answer in told) > len(told) / 3
        for one, answer in told:
            assert all(math.isfinite(float(series["value"][1])) for series in answer), str(one)


def test_columns_of_tables_are_filled(seen: Prometheus) -> None:
    """Each column that names a label has one, in the answer to one of the table's queries at least."""
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


def test_moments_are_marked(seen: Prometheus) -> None:
    """What a board marks on its panels are moments, in milliseconds, not long ago."""
    for board in BOARDS:
        values = chosen(seen, board, everything=True)
        for marks in board.annotations:
            answer = seen.query(filled(marks.expression, values))
            assert answer
            assert all(abs(float(series["value"][1]) / 1000 - time.time()) < 600 for series in answer)
