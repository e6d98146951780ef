"""The dashboards as files: what Grafana and its users may rely on."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from exporter.publish.metrics import table
from exporter.publish.row import About, Kind
from grafana.files import BOARDS, FOLDER, rendered
from tests.grafana.expressions import asked, selectors, variables

KINDS = {"timeseries", "stat", "bargauge", "table", "text", "row"}
SCRAPE_LABELS = {"job", "instance"}
# Ids of getValueFormats() in @grafana/data 12.4, as far as they are used; `si:` and `suffix:` are its custom units.
UNITS = {
    *("none", "short", "percentunit", "watt", "kwatth", "joule", "s", "reqps", "celsius", "hertz", "bytes"),
    "bool_yes_no",
}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def panels() -> list[Any]:
    return list(_panels())


def _panels() -> Iterator[Any]:
    for text in rendered().values():
        board = json.loads(text)
        yield from (pytest.param(panel, id=f"{board['uid']}-{panel['id']}") for panel in board["panels"])


def boards() -> list[Any]:
    return [pytest.param(json.loads(text), id=name) for name, text in rendered().items()]


def test_the_files_are_what_the_generator_makes() -> None:
    """grafana/dashboards holds exactly what `make docs` writes."""
    assert {file.name: file.read_text() for file in FOLDER.glob("*.json")} == rendered()


@pytest.mark.parametrize("board", boards())
def test_a_board_imports_anywhere(board: dict[str, Any]) -> None:
    """Schema 39, no import inputs, the data source a variable, and job as the first variable of our own metrics."""
    assert board["schemaVersion"] == 39
    assert "__inputs" not in board
    names = [variable["name"] for variable in board["templating"]["list"]]
    assert names[:2] == ["datasource", "job"]
    assert (
        board["templating"]["list"][0] | {"type": "datasource", "query": "prometheus"} == board["templating"]["list"][0]
    )
    job = board["templating"]["list"][1]
    assert job["multi"] and job["includeAll"] and job["allValue"] == ".+"


def test_boards_are_told_apart() -> None:
    """No two dashboards share a uid or a title."""
    assert len({board.uid for board in BOARDS}) == len({board.title for board in BOARDS}) == len(BOARDS)


@pytest.mark.parametrize("board", boards())
def test_variables_are_chained_over_our_own_metrics(board: dict[str, Any]) -> None:
    """Every variable asks one of our metrics, and every one after job is limited by those chosen before it."""
    asked_of = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    assert all(re.fullmatch(r"label_values\(goodwatt_\w+\{.*\}, \w+\)", query) for query in asked_of)
    assert all('job=~"$job"' in query for query in asked_of[1:])


@pytest.mark.parametrize("board", boards())
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Ids are unique, panels lie within the 24 columns, and no two of them cover the same place."""
    places = [panel["gridPos"] for panel in board["panels"]]
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


@pytest.mark.parametrize("panel", panels())
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """A panel is of a known kind with a title; all but headings have a description, a unit and a word for nothing."""
    assert panel["type"] in KINDS
    assert panel["title"]
    if panel["type"] != "row":
        assert panel["description"].endswith(".")
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"]
        units = [defaults["unit"], *_override_units(panel)]
        assert all(unit in UNITS or unit.startswith(("si:", "suffix:")) for unit in units), units


def _override_units(panel: dict[str, Any]) -> list[str]:
    properties = [p for override in panel["fieldConfig"]["overrides"] for p in override["properties"]]
    return [p["value"] for p in properties if p["id"] == "unit"]


@pytest.mark.parametrize("panel", panels())
def test_a_panel_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    """A panel and its queries use the data source variable; a heading and words ask nothing."""
    assert panel["type"] == "row" or panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel.get("targets", ()))
    assert bool(panel.get("targets")) == (panel["type"] not in {"row", "text"})


@pytest.mark.parametrize("one", list(asked()), ids=lambda one: f"{one.board.uid}-{one.panel}")
def test_a_query_is_limited_to_the_chosen_jobs(one: Any) -> None:
    """Every selector of a query names the job variable; rates use Grafana's interval or a range that is meant."""
    assert re.findall(r"\{[^}]*\}", one.query.expression)
    assert all('job=~"$job"' in braces for braces in re.findall(r"\{[^}]*\}", one.query.expression))
    ranges = re.findall(r"rate\([^\[]*\[([^\]]+)\]", one.query.expression)
    assert all(found in {"$__rate_interval", "5m", "30m", "1h", "6h"} for found in ranges), ranges


def labels_by_metric() -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for metric in table(About()):
        known[metric.exposed] = set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            known |= {f"{metric.exposed}_{suffix}": set(metric.labels) for suffix in ("count", "sum")}
            known[f"{metric.exposed}_bucket"] = {*metric.labels, "le"}
    return known


def test_every_name_is_in_the_metric_table() -> None:
    """Metrics and labels that dashboards mention exist under these names."""
    known = labels_by_metric()
    expressions = [one.query.expression for one in asked()]
    expressions += [query for board in BOARDS for _, query in variables(board)]
    for expression in expressions:
        for metric, labels in selectors(expression):
            assert metric in known, f"{metric} in {expression}"
            assert set(labels) <= known[metric] | SCRAPE_LABELS, f"{metric} {labels}"


def test_ratios_are_never_averaged() -> None:
    """No query averages a live ratio over servers or time: ratios are sums of counters over sums of counters."""
    ratios = "tokens_per_watt|joules_per_token|cost_per_million_tokens|goodput_ratio|cost_per_good_request"
    for one in asked():
        assert not re.search(rf"goodwatt_(busy_)?({ratios})", one.query.expression), str(one)
