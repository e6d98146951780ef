"""Panels in classic dashboard JSON (schemaVersion 39), one function per kind.

Every panel has a title, a description, a unit and a text for no data. An `optional` query may be empty on a healthy
installation, for the reason it states; if all queries of a panel are optional, the panel shows the first reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from grafana.overrides import Json, by_name

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GRID_COLUMNS = 24
# The first Grafana that writes schema 39. Without a version Grafana would migrate the options from ancient ones.
PLUGIN_VERSION = "11.0.0"
NO_DATA = "no samples in this time range"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `instant` evaluates it once, at the end of the time range, as tables and bars need.

    `step` is the minimum time between points. $__rate_interval is at least four times as long, which slow counters
    need.
    """

    expression: str
    legend: str = ""
    instant: bool = False
    optional: str = ""  # why it may return nothing
    format: str = "time_series"  # `heatmap` turns a histogram's cumulative buckets into counts per bucket
    step: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel before layout: `json` lacks `id` and `gridPos`."""

    width: int
    height: int
    json: Json
    queries: tuple[Query, ...] = ()

    @property
    def title(self) -> str:
        """The panel title."""
        return str(self.json["title"])


@dataclass(frozen=True, slots=True)
class Look:
    """How values are displayed. `steps` are colour thresholds; the first starts at minus infinity.

    `words` are the texts, with colours, shown in place of the values 0, 1, 2 ... `nothing` is the text for no value.
    """

    unit: str
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    words: Sequence[tuple[str, str]] = ()
    nothing: str = NO_DATA
    overrides: Sequence[Json] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Lines:
    """How a time series is drawn. `stack` is `none`, `normal`, or `percent` of the sum.

    `reach` is the soft maximum of the axis. `legend` is a `table` with figures, a `list`, or `none`.
    """

    stack: str = "none"
    legend: str = "table"
    reach: float | None = None
    points: int | None = None  # maximum number of points, for queries with long windows


STACKED = Lines(stack="normal")


def timeseries(
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    *,
    width: int = 12,
    height: int = 9,
    lines: Lines = Lines(),
) -> Panel:
    """Lines over time. Grafana chooses the decimals to keep the axis legible."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1 if lines.stack == "none" else 0,
        "fillOpacity": 0 if lines.stack == "none" else 70,
        "showPoints": "auto" if lines.stack == "none" else "never",
        "spanNulls": False,
        "stacking": {"mode": lines.stack, "group": "A"},
    }
    options = {"legend": _legend(lines.legend), "tooltip": {"mode": "multi", "sort": "none"}}
    look = replace(look, decimals=None)
    reach = {} if lines.reach is None else {"axisSoftMax": lines.reach}
    panel = _panel("timeseries", title, description, queries, look, (width, height), options, custom | reach)
    if lines.points is not None:
        panel.json["maxDataPoints"] = lines.points
    return panel


def stat(
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    *,
    width: int = 4,
    height: int = 4,
    to: str = "",
) -> Panel:
    """One large figure per query. `to` is the uid of a dashboard with more detail."""
    coloured = bool(look.steps or look.words)
    options = {
        "colorMode": "value" if coloured else "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": _latest(),
        "textMode": "value_and_name" if any(query.legend for query in queries) else "value",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "wideLayout": False,
    }
    panel = _panel("stat", title, description, queries, look, (width, height), options, {})
    if to:
        url = f"/d/{to}?${{__url_time_range}}&${{__all_variables}}"
        panel.json["links"] = [{"title": "More", "url": url, "targetBlank": False}]
    return panel


def bars(
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    *,
    width: int = 12,
    height: int = 8,
    mode: str = "basic",
) -> Panel:
    """Horizontal bars, one per series; mode `lcd` makes them thin enough for a histogram's buckets."""
    options = {
        "displayMode": mode,
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "text",
        "namePlacement": "auto",
        "sizing": "manual",
        "minVizWidth": 8,
        "minVizHeight": 8 if mode == "lcd" else 16,
        "maxVizHeight": 32,
        "text": {"valueSize": 11 if mode == "lcd" else 14},
        "reduceOptions": _latest(),
        "legend": _legend("none"),
    }
    return _panel("bargauge", title, description, queries, look, (width, height), options, {})


@dataclass(frozen=True, slots=True)
class Column:
    """A table column: field of the merged result, header, and unit of its values ("" for text)."""

    field: str
    header: str
    unit: str = ""
    decimals: int | None = None
    width: int | None = None  # pixels; None: an equal share of the remaining width


def table(
    title: str,
    description: str,
    queries: Sequence[Query],
    columns: Sequence[Column],
    *,
    width: int = 24,
    height: int = 8,
    most_first: str = "",
    nothing: str = NO_DATA,
) -> Panel:
    """One row per set of labels that the queries share. Fields are label names and `Value #A`, `Value #B` ..."""
    organize = {
        "includeByName": {column.field: True for column in columns},
        "indexByName": {column.field: at for at, column in enumerate(columns)},
        "renameByName": {column.field: column.header for column in columns},
    }
    look = Look("none", nothing=nothing, overrides=[_column_override(column) for column in columns])
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "frameIndex": 0,
        "sortBy": [{"displayName": most_first, "desc": True}] if most_first else [],
    }
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "minWidth": 70, "inspect": False}
    panel = _panel("table", title, description, queries, look, (width, height), options, custom)
    for target in panel.json["targets"]:
        target["format"] = "table"
    panel.json["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return panel


def text(title: str, content: str, *, width: int = 24, height: int = 3) -> Panel:
    """Markdown text."""
    code = {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}
    options = {"mode": "markdown", "content": content, "code": code}
    return _panel("text", title, content, (), Look("none"), (width, height), options, {})


def row(title: str) -> Panel:
    """A heading across the dashboard."""
    return Panel(GRID_COLUMNS, 1, {"type": "row", "title": title, "collapsed": False, "panels": []})


def _column_override(column: Column) -> Json:
    given = {"unit": column.unit or None, "decimals": column.decimals, "custom.width": column.width}
    properties = {key: value for key, value in given.items() if value is not None}
    return by_name(column.header, properties | {"noValue": "-"})


def _legend(mode: str) -> Json:
    shown = mode != "none"
    figures = ["mean", "lastNotNull"] if mode == "table" else []
    return {"displayMode": mode if shown else "list", "placement": "bottom", "showLegend": shown, "calcs": figures}


def _latest() -> Json:
    return {"calcs": ["lastNotNull"], "fields": "", "values": False}


def _panel(  # noqa: PLR0917 - one call per kind, all in this module
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    size: tuple[int, int],
    options: Json,
    custom: Json,
) -> Panel:
    reasons = [query.optional for query in queries]
    nothing = reasons[0] if reasons and all(reasons) else look.nothing
    panel: Json = {
        "type": kind,
        "pluginVersion": PLUGIN_VERSION,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [_target(at, query) for at, query in enumerate(queries)],
        "fieldConfig": {"defaults": _defaults(look, custom, nothing), "overrides": list(look.overrides)},
        "options": options,
    }
    return Panel(size[0], size[1], panel, tuple(queries))


def _defaults(look: Look, custom: Json, nothing: str) -> Json:
    steps = [{"value": value, "color": color} for value, color in look.steps] or [{"value": None, "color": "text"}]
    defaults: Json = {
        "unit": look.unit,
        "noValue": nothing,
        "color": {"mode": "thresholds" if look.steps else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": _mappings(look, nothing),
        "links": [],
    }
    limits = {"decimals": look.decimals, "min": look.least, "max": look.most}
    defaults |= {key: value for key, value in limits.items() if value is not None}
    return defaults | ({"custom": custom} if custom else {})


def _mappings(look: Look, nothing: str) -> list[Json]:
    """Map numbers to words. Where values are coloured, no data stays grey: Grafana would use the lowest colour."""
    words = {str(at): {"text": word, "color": color, "index": at} for at, (word, color) in enumerate(look.words)}
    silence = {"match": "null", "result": {"text": nothing, "color": "text", "index": len(words)}}
    named = [{"type": "value", "options": words}] if words else []
    return [*named, {"type": "special", "options": silence}] if words or look.steps else []


def _target(at: int, query: Query) -> Json:
    target = {
        "refId": chr(ord("A") + at),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": query.format,
    }
    return target | ({"interval": query.step} if query.step else {})
