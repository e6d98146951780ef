"""The whole product over the demo, read by a real Prometheus."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs import Goodwatt, Page, get, goodwatt, prometheus, until


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goodwatt]:
    with goodwatt(tmp_path_factory.mktemp("demo"), "demo") as running:
        until(lambda: running.page().sum("goodwatt_tokens_per_watt"), seconds=10, why=running.logged)
        yield running


def test_prometheus_answers_the_headline_question(demo: Goodwatt, tmp_path: Path) -> None:
    """Tokens per joule over counters, by a real Prometheus, agrees with goodwatt's own live figures."""
    question = "sum(rate(goodwatt_generated_tokens_total[1m])) / sum(rate(goodwatt_energy_joules_total[1m]))"
    with prometheus(tmp_path, demo.url.removeprefix("http://")) as server:
        answer = until(lambda: _value(server.query(question)), seconds=20)
        own = "sum(goodwatt_tokens_per_second{kind='generated'}) / sum(goodwatt_attributed_power_watts)"
        live = until(lambda: _value(server.query(own)), seconds=5)
    assert 1.0 < answer < 40.0  # 8B on one H100 in published measurements: 2 to 13 tokens per joule
    assert answer == pytest.approx(live, rel=0.5)


def test_the_readme_s_queries_answer(demo: Goodwatt, tmp_path: Path) -> None:
    """Every PromQL expression that the README shows returns at least one number from the demo."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    block = readme.split("```promql\n")[1].split("```")[0]
    expressions = [line for line in block.splitlines() if line and not line.startswith("#")]
    assert len(expressions) == 3
    with prometheus(tmp_path, demo.url.removeprefix("http://")) as server:
        for expression in expressions:
            short = expression.replace("[5m]", "[1m]")
            assert until(lambda query=short: server.query(query) or None, seconds=20), expression


def _value(result: list[dict[str, list[str]]]) -> float | None:
    return float(result[0]["value"][1]) if result and result[0]["value"][1] != "NaN" else None


def test_promtool_accepts_the_page(demo: Goodwatt) -> None:
    """`promtool check metrics` accepts the page without warnings."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: apt-get install --no-install-recommends prometheus"
    text = get(f"{demo.url}/metrics", {"Accept": "text/plain"})[1]
    checked = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_energy_is_conserved(demo: Goodwatt) -> None:
    """On one page: attributed + unattributed energy = energy of the GPUs."""
    page = demo.page()
    measured = page.sum("goodwatt_gpu_energy_joules_total")
    accounts, rest = page.sum("goodwatt_energy_joules_total"), page.sum("goodwatt_gpu_unattributed_energy_joules_total")
    assert measured and accounts is not None and rest is not None
    assert accounts + rest == pytest.approx(measured, abs=0.002)


def test_the_demo_is_marked_as_simulated(demo: Goodwatt) -> None:
    """The landing page and the metrics of the demo are marked as simulated."""
    page = demo.page()
    assert page.sum("goodwatt_build_info", simulated="true") == 1
    assert all(dict(key)["simulated"] == "true" for key in page.all("goodwatt_source_info"))
    assert "simulated" in get(f"{demo.url}/")[1].lower()


def test_no_created_series(demo: Goodwatt) -> None:
    """Neither text format carries `_created` lines."""
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        assert "_created" not in get(f"{demo.url}/metrics", {"Accept": accept})[1]


def test_counters_of_the_demo_only_grow(demo: Goodwatt) -> None:
    """Between two scrapes no counter falls and no series is lost."""
    before = demo.page()
    until(lambda: demo.page().sum("goodwatt_ticks_total") != before.sum("goodwatt_ticks_total"), seconds=10)
    after = demo.page()
    for name, series in before.samples.items():
        if name.startswith("goodwatt_") and name.endswith(("_total", "_bucket", "_count")):
            for labels, value in series.items():
                assert after.samples[name][labels] >= value, (name, labels)


def test_the_page_holds_the_three_headlines(demo: Goodwatt) -> None:
    """Tokens per watt, cost per million tokens and goodput bounds are live for both simulated servers."""
    page: Page = demo.page()
    for server in ("chat", "batch"):
        assert page.sum("goodwatt_tokens_per_watt", server=server, kind="generated")
        assert page.sum("goodwatt_cost_per_million_tokens", server=server, kind="generated")
        lower = page.all("goodwatt_goodput_ratio", server=server, bound="lower")
        upper = page.all("goodwatt_goodput_ratio", server=server, bound="upper")
        assert len(lower) == len(upper) > 0


def test_the_demo_shows_exact_goodput(demo: Goodwatt) -> None:
    """The simulated servers send a span for each request, and goodwatt evaluates each one."""
    page = until(lambda: page if _is_exact(page := demo.page()) else None, seconds=10, why=demo.logged)
    good, all_ = (page.sum(f"goodwatt_slo_{name}_total", slo="strict", method="exact") for name in GOOD)
    assert good is not None and all_ is not None and 0 < good < all_
    assert page.sum("goodwatt_request_records_dropped_total", source="otlp") is None


GOOD = "good_requests", "requests"


def _is_exact(page: Page) -> bool:
    """Whether records of both servers have been counted."""
    return all((page.sum("goodwatt_request_records_total", server=name) or 0) > 5 for name in ("chat", "batch"))
