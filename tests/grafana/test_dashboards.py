"""The dashboard files: importable, consistent with the metric table, and self-explanatory."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from goodwatt.model.alerting import Alerting
from goodwatt.publish.metrics.row import About, Kind
from goodwatt.publish.metrics.table import metric_table
from goodwatt.rules.groups import rule_groups
from grafana.files import BOARDS, FOLDER, rendered
from grafana.looks import heat
from tests.grafana.expressions import asked, divisors, expressions, selectors

KINDS = {"timeseries", "stat", "bargauge", "table", "text", "row"}
SCRAPE_LABELS = {"job", "instance"}
# Metrics of every Prometheus target and client library.
FOREIGN = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
# Bounds are charged once per range for the requests in flight at its start, so short ranges are loose.
CHARGED_ONCE_A_RANGE = {"goodwatt_slo_requests_total", "goodwatt_slo_good_requests_total"}


def units() -> set[str]:
    """Ids that Grafana knows; the file says which version's."""
    return set(json.loads((Path(__file__).parent / "units.json").read_text())["units"])


def panels() -> list[Any]:
    made = [json.loads(text) for text in rendered().values()]
    return [pytest.param(panel, id=f"{board['uid']}-{panel['id']}") for board in made for panel in board["panels"]]


def boards() -> list[Any]:
    return [pytest.param(json.loads(text), id=name) for name, text in rendered().items()]


def test_the_files_are_what_the_generator_makes() -> None:
    """grafana/dashboards holds exactly what `make docs` writes."""
    assert {file.name: file.read_text() for file in FOLDER.glob("*.json")} == rendered()


@pytest.mark.parametrize("board", boards())
def test_a_board_imports_anywhere(board: dict[str, Any]) -> None:
    """Schema 39 without import inputs or instance ids; the data source is a variable."""
    assert board["schemaVersion"] == 39
    assert not {"__inputs", "__requires", "id"} & set(board)
    assert "${DS_" not in json.dumps(board)
    assert re.fullmatch(r"[a-z-]{1,40}", board["uid"])


def test_boards_have_unique_ids_and_titles() -> None:
    """No two dashboards share a uid or a title."""
    assert len({board.uid for board in BOARDS}) == len({board.title for board in BOARDS}) == len(BOARDS)


def test_links_lead_to_our_own_boards() -> None:
    """Each board links to all others by tag, and every panel link leads to an existing board."""
    known = {board.uid for board in BOARDS}
    for board in BOARDS:
        made = board.json()
        assert [link["tags"] for link in made["links"]] == [["goodwatt"]] == [made["tags"]]
        urls = [link["url"] for panel in made["panels"] for link in panel.get("links", ())]
        assert all(found and found[1] in known - {board.uid} for found in (re.match(r"/d/([\w-]+)\?", u) for u in urls))


@pytest.mark.parametrize("board", boards())
def test_variables_are_chained_over_our_own_metrics(board: dict[str, Any]) -> None:
    """Every variable queries one of our metrics and is narrowed by the wider variables before it."""
    asked_of = [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]
    assert all(re.fullmatch(r"label_values\(goodwatt_\w+\{.*\}, \w+\)", query) for query in asked_of)
    assert all('job=~"$job"' in query for query in asked_of[1:])
    chain = [v["name"] for v in board["templating"]["list"]]
    for side in ("", "_a", "_b"):
        wider = [name for name in ("instance", "server", "model") if f"{name}{side}" in chain]
        for at, name in enumerate(wider):
            query = board["templating"]["list"][chain.index(f"{name}{side}")]["query"]["query"]
            assert all(f'{before}=~"${before}{side}"' in query for before in wider[:at]), query


@pytest.mark.parametrize("board", boards())
def test_all_models_include_the_nameless_one(board: dict[str, Any]) -> None:
    """Energy of a server without a known model has an empty label, which All includes."""
    models = [v for v in board["templating"]["list"] if v["name"].startswith("model")]
    assert all(variable["allValue"] == ".*" for variable in models)


@pytest.mark.parametrize("board", boards())
def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    """Panel ids are unique, and panels fit the 24 columns without overlap."""
    places = [panel["gridPos"] for panel in board["panels"]]
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


@pytest.mark.parametrize("board", boards())
def test_lines_of_panels_are_full(board: dict[str, Any]) -> None:
    """The panels of each row fill all 24 columns and have the same height."""
    for y in {panel["gridPos"]["y"] for panel in board["panels"]}:
        line = [panel["gridPos"] for panel in board["panels"] if panel["gridPos"]["y"] == y]
        assert sum(place["w"] for place in line) == 24, (y, line)
        assert len({place["h"] for place in line}) == 1


@pytest.mark.parametrize("panel", panels())
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Every panel has a known kind and a title; all but headings have a description, a unit and a no-data text."""
    assert panel["type"] in KINDS
    assert panel["title"]
    if panel["type"] != "row":
        assert panel["description"].endswith(".")
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"]
        given = [defaults["unit"], *_override_units(panel)]
        assert all(unit in units() or re.fullmatch(r"(si|suffix):\S+", unit) for unit in given), given


def _override_units(panel: dict[str, Any]) -> list[str]:
    properties = [p for override in panel["fieldConfig"]["overrides"] for p in override["properties"]]
    return [p["value"] for p in properties if p["id"] == "unit"]


@pytest.mark.parametrize("panel", panels())
def test_percent_stacks_have_no_limits(panel: dict[str, Any]) -> None:
    """A stack of percents keeps its own axis: with a maximum, Grafana draws nothing."""
    stacking = panel.get("fieldConfig", {}).get("defaults", {}).get("custom", {}).get("stacking", {})
    assert stacking.get("mode") != "percent" or "max" not in panel["fieldConfig"]["defaults"]


def labels_by_metric() -> dict[str, set[str]]:
    known: dict[str, set[str]] = {}
    for metric in metric_table(About()):
        known[metric.exposed] = set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            known |= {f"{metric.exposed}_{suffix}": set(metric.labels) for suffix in ("count", "sum")}
            known[f"{metric.exposed}_bucket"] = {*metric.labels, "le"}
    return known | {name: set() for name in FOREIGN | PROCESS}


def alert_records() -> dict[str, set[str]]:
    """The labels of the records that the alerts on error budgets compare."""
    rules = [rule for group in rule_groups(Alerting(), "alerts") for rule in group["rules"] if "record" in rule]
    return {rule["record"]: {"job", "model", "slo"} for rule in rules if rule["record"].startswith("model:")}


def test_burn_rates_are_those_of_the_alerts() -> None:
    """Every burn rate is first of all the alerts' own record, of each window."""
    queries = [one.query.expression for one in asked() if one.panel.title.startswith("Burn rate")]
    assert len(queries) == 2 + 2 * 4
    assert all(query.startswith("max(model:goodwatt_slo_") for query in queries)
    named = {selector.metric for query in queries for selector in selectors(query) if ":" in selector.metric}
    assert named <= alert_records().keys()


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_name_is_in_the_metric_table(board: Any) -> None:
    """Metrics and labels that a dashboard mentions exist; of the recorded ones it uses only those of budget alerts."""
    known = labels_by_metric() | alert_records()
    for expression in expressions(board):
        found = list(selectors(expression))
        assert found
        for one in found:
            assert one.metric in known, f"{one.metric} in {expression}"
            assert one.labels <= known[one.metric] | SCRAPE_LABELS, f"{one.metric} {one.labels}"
        mentioned = re.findall(r"\bgoodwatt_\w+", expression)
        parts = [part for one in found for part in one.metric.split(":") if part.startswith("goodwatt_")]
        assert sorted(mentioned) == sorted(parts), expression


def test_ratios_are_sums_over_sums() -> None:
    """No query averages a ratio over servers or time: neither a live one, nor one that it makes itself."""
    ratios = "tokens_per_watt|joules_per_token|cost_per_million_tokens|goodput_ratio|cost_per_good_request"
    for one in asked():
        assert not re.search(rf"goodwatt_(busy_)?({ratios})", one.query.expression)
        assert not re.search(r"\bavg\b", one.query.expression)


def test_nothing_is_divided_by_zero() -> None:
    """Every divisor is guarded, so the panel shows its no-data text instead of NaN."""
    for one in asked():
        for divisor in divisors(one.query.expression):
            assert divisor.endswith(" > 0") or float(divisor) > 0, str(one)


def test_usual_objectives_are_not_rounded_to_all() -> None:
    """Shares of good requests and objectives show two decimals, so 99.95 % and 99.99 % differ."""
    for one in asked():
        told = one.panel.json["fieldConfig"]
        fields = [told["defaults"]] if one.panel.json["type"] == "stat" else []
        overrides = [o for o in told["overrides"] if o["matcher"]["options"].startswith("Good,")]
        fields += [{each["id"]: each["value"] for each in override["properties"]} for override in overrides]
        share = "slo_good_requests" in one.query.expression or "slo_objective" in one.query.expression
        budget = one.panel.title == "Error budget left"
        for field in fields if share and not budget else ():
            assert field["unit"] != "percentunit" or field["decimals"] >= 2, str(one)


def test_what_moves_once_a_window_is_asked_over_several() -> None:
    """Good requests are counted over four minutes at least: $__rate_interval is four steps."""
    for one in asked():
        for selector in selectors(one.query.expression):
            if selector.metric in CHARGED_ONCE_A_RANGE and selector.window == "$__rate_interval":
                assert one.query.step == "1m", str(one)


def test_every_bucket_has_its_heat() -> None:
    """An edge of a bucket, however an engine writes it, has one colour, and a slower one is never cooler."""
    patterns = [one["matcher"]["options"].strip("/") for one in heat(1, 1)]
    fast = "0.001 0.005 0.01 0.02 0.025 0.06 0.1 0.15 0.25 0.5 0.75"
    edges = f"{fast} 1 1.0 2.5 7.5 10 20.0 80.0 160.0 7680.0 +Inf".split()
    found = [[at for at, pattern in enumerate(patterns) if re.match(pattern, edge)] for edge in edges]
    assert all(len(matches) == 1 for matches in found), list(zip(edges, found, strict=True))
    assert found == sorted(found)
