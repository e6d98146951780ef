"""Every query of every dashboard against a real Prometheus that scrapes the demo."""

import json
import re
import urllib.parse
from collections.abc import Iterator

import pytest

from grafana.files import BOARDS
from tests.end_to_end.programs import Goodwatt, Prometheus, get, goodwatt, prometheus, until
from tests.grafana.expressions import asked, filled, variables

# Windows that close every few seconds, so that the counters of objectives move while the test looks on.
CONFIG = """\
interval_seconds: 1
window_seconds: 3
cost: {currency: USD, price_per_gpu_hour: 1.69}
carbon: {grams_per_kwh: 400}
slos:
  - {name: chat, ttft_seconds: 1.0, tpot_seconds: 0.05, objective_ratio: 0.95}
"""
FIXED = {"__rate_interval": "8s", "__range": "20s", "__interval": "1s", "shift": "1ms", "slo": "chat"}
EVERYTHING = {
    **dict.fromkeys(("job", "server", "model", "gpu", "source"), ".+"),
    **{f"{name}_{side}": ".+" for name in ("server", "model") for side in "ab"},
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("dashboards")
    with (
        goodwatt(folder, "demo", config=CONFIG) as running,
        prometheus(folder, running.url.removeprefix("http://")) as server,
    ):
        until(lambda: _is_ready(running, server), seconds=40, why=running.logged)
        yield server


def _is_ready(running: Goodwatt, server: Prometheus) -> bool:
    """Both simulated servers have seen windows close since Prometheus looks."""
    assert running.process.poll() is None
    return len(server.query('increase(goodwatt_slo_requests_total{method="histogram"}[8s]) > 0')) >= 2


def test_every_query_answers(seen: Prometheus) -> None:
    """Each expression parses and returns data, unless it says why it may not."""
    silent = []
    for one in asked():
        answer = seen.query(filled(one.query.expression, {**FIXED, **EVERYTHING}))
        if not answer and not one.query.optional:
            silent.append(str(one))
    assert not silent


def test_every_variable_has_values(seen: Prometheus) -> None:
    """What fills a variable finds at least one value, given those chosen before it."""
    for board in BOARDS:
        for name, query in variables(board):
            if query:
                found = re.fullmatch(r"label_values\((.*), (\w+)\)", filled(query, {**FIXED, **EVERYTHING}))
                assert found, query
                match = urllib.parse.urlencode({"match[]": found[1]})
                answer = json.loads(get(f"{seen.url}/api/v1/label/{found[2]}/values?{match}")[1])
                assert answer["data"], f"{board.title}: {name}: {query}"
