"""The rules of Grafana's dashboard-linter (github.com/grafana/dashboard-linter), by name.

Exceptions are listed here with a reason, as the linter requires.
"""

import re
from typing import Any

import pytest

from goodwatt.publish.metrics.row import About, Kind
from goodwatt.publish.metrics.table import metric_table
from grafana.files import BOARDS
from tests.grafana.expressions import asked, selectors
from tests.grafana.test_dashboards import PROCESS, boards, panels

SIDES = "each side of the comparison selects its instance"
NO_INSTANCE = {"goodwatt-compare": SIDES}
SINCE_START = "energy since start must add up, independent of the range"
NOT_RATED = {
    ("goodwatt-energy", "Conservation"): SINCE_START,
    ("goodwatt-health", "Ticks missed"): "checks that the counter existed a window ago",
}
# A reason that never occurred has no series: rate and increase miss the first time.
EVENTS = {"goodwatt_source_failures_total", "goodwatt_request_records_dropped_total"}
# Burn rates use the windows of the alerts, everything else the time range.
WINDOWS = {"5m", "1h", "6h", "3d", "$__range"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(board: dict[str, Any], name: str) -> dict[str, Any]:
    return next(v for v in board["templating"]["list"] if v["name"] == name)


@pytest.mark.parametrize("board", boards())
def test_template_datasource_rule(board: dict[str, Any]) -> None:
    """The only data source is the variable `datasource`, labelled Data source."""
    sources = [v for v in board["templating"]["list"] if v["type"] == "datasource"]
    assert [(s["name"], s["label"], s["query"]) for s in sources] == [("datasource", "Data source", "prometheus")]
    assert board["templating"]["list"][0] == sources[0]


@pytest.mark.parametrize("name", ["job", "instance"])
@pytest.mark.parametrize("board", boards())
def test_template_job_and_instance_rules(board: dict[str, Any], name: str) -> None:
    """Job and instance are multi-value variables of the selected data source, and All is `.+`."""
    if name == "instance" and board["uid"] in NO_INSTANCE:
        names = {v["name"] for v in board["templating"]["list"]}
        assert {"instance_a", "instance_b"} <= names, NO_INSTANCE[board["uid"]]
        return
    found = variable(board, name)
    wanted = {"label": name.title(), "type": "query", "multi": True, "includeAll": True, "allValue": ".+"}
    assert found | wanted | {"datasource": DATASOURCE} == found


@pytest.mark.parametrize("board", boards())
def test_template_label_promql_and_reload_rules(board: dict[str, Any]) -> None:
    """A query variable uses label_values with a selector and refreshes when the time range changes."""
    for found in board["templating"]["list"]:
        if found["type"] == "query":
            assert re.fullmatch(r"label_values\(\w+\{.*\}, \w+\)", found["query"]["query"])
            assert found["definition"] == found["query"]["query"]
            assert found["refresh"] == 2


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_template_unused_rule(board: Any) -> None:
    """Every variable is used by a panel or by another variable."""
    asks = [query.expression for panel in board.panels for query in panel.queries]
    for one in board.variables:
        offers = [other.query for other in board.variables if other is not one and hasattr(other, "query")]
        assert any(re.search(rf"\${one.name}\b", text) for text in (*asks, *offers)), one.name


@pytest.mark.parametrize("board", boards())
def test_uneditable_dashboard_rule(board: dict[str, Any]) -> None:
    """A dashboard is generated from code, so it is not editable."""
    assert board["editable"] is False


@pytest.mark.parametrize("panel", panels())
def test_panel_datasource_and_no_targets_rules(panel: dict[str, Any]) -> None:
    """Panels and queries use the data source variable; all panels but headings and texts have queries."""
    assert panel["type"] == "row" or panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel.get("targets", ()))
    assert bool(panel.get("targets")) == (panel["type"] not in {"row", "text"})


def test_target_job_and_instance_rules() -> None:
    """Every selector filters by the selected jobs, and by the instances unless it is a record over all of them."""
    for one in asked():
        for selector in selectors(one.query.expression):
            assert ("job", "=~", "$job") in selector.matchers, str(one)
            sides = {("instance", "=~", f"$instance{side}") for side in ("", "_a", "_b")}
            whole = one.board.uid in NO_INSTANCE and selector.metric.startswith("goodwatt_slo_objective")
            over_instances = selector.metric.startswith("model:")
            assert sides & set(selector.matchers) or whole or over_instances, str(one)


def test_target_rate_interval_rule() -> None:
    """Rates use $__rate_interval or an intended window."""
    for one in asked():
        for selector in selectors(one.query.expression):
            if selector.function == "rate":
                assert selector.window == "$__rate_interval" or selector.window in WINDOWS, str(one)
            if selector.function == "increase":
                assert selector.window in {"$__range", "$__rate_interval", *WINDOWS}, str(one)


def counters() -> set[str]:
    ours = {metric.exposed for metric in metric_table(About()) if metric.kind is Kind.COUNTER}
    return ours | {name for name in PROCESS if name.endswith("_total")}


def test_target_counter_agg_rule() -> None:
    """Counters, and only counters, are queried through rate or increase."""
    known = counters()
    for one in asked():
        for selector in selectors(one.query.expression):
            grows = selector.metric in known or selector.metric.endswith(("_bucket", "_count", "_sum"))
            if selector.function in {"rate", "increase"}:
                assert grows, str(one)
            elif grows:
                joined = re.search(rf"and on \([\w, ]*\) {selector.metric}\{{", one.query.expression)
                excepted = selector.metric in EVENTS or (one.board.uid, one.panel.title) in NOT_RATED
                assert joined or excepted, str(one)


def test_target_histogram_rule() -> None:
    """Buckets are used for quantiles or shown as buckets."""
    for one in asked():
        if "_bucket{" in one.query.expression:
            assert "histogram_quantile(" in one.query.expression or one.query.format == "heatmap", str(one)


def test_every_exception_is_needed() -> None:
    """Every exception names an existing dashboard or panel."""
    titles = {(one.board.uid, one.panel.title) for one in asked()}
    assert set(NOT_RATED) <= titles
    assert set(NO_INSTANCE) <= {board.uid for board in BOARDS}
