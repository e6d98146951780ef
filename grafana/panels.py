"""Panels of classic dashboard JSON (schemaVersion 39): one function a kind.

Every panel has a title, a description, a unit and a text for when there is nothing to show. An `optional` query may be
empty on a healthy installation, for the reason that it gives; where all queries are, the panel shows the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from grafana.overrides import Json, by_name

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GRID_COLUMNS = 24
# Of the first Grafana that writes schema 39: without it Grafana would take the options for very old ones and move them.
PLUGIN_VERSION = "11.0.0"
NOTHING = "no samples in this time"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `instant` asks for now only; tables and bars want that.

    `step` is the least time between two points. $__rate_interval is at least four times as long, which is what counters
    need that move seldom.
    """

    expression: str
    legend: str = ""
    instant: bool = False
    optional: str = ""  # why it may return nothing
    format: str = "time_series"  # `heatmap` makes of a histogram's cumulative buckets what is in each of them
    step: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, before it has a place. `json` lacks `id` and `gridPos`."""

    width: int
    height: int
    json: Json
    queries: tuple[Query, ...] = ()

    @property
    def title(self) -> str:
        """What stands above it."""
        return str(self.json["title"])


@dataclass(frozen=True, slots=True)
class Look:
    """How values are written. `steps` colours from the value on, the first one from minus infinity.

    `words` stand for whole numbers from 0 on, each with its colour. `nothing` is shown where there is no value.
    """

    unit: str
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    words: Sequence[tuple[str, str]] = ()
    nothing: str = NOTHING
    overrides: Sequence[Json] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Lines:
    """How a course over time is drawn. `stack` adds the lines up: `normal`, or `percent` of their sum.

    `reach` is how far the axis goes at least. A legend is a `table` with figures, a `list`, or `none`.
    """

    stack: str = "none"
    legend: str = "table"
    reach: float | None = None
    points: int | None = None  # at most so many; for queries that look far back at each of them


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
    """Lines over time. Grafana chooses the decimals, so that the axis stays legible."""
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
    """One large figure a query. `to` is the dashboard that tells more."""
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
    """Horizontal bars, one a series; in mode `lcd` so low that a histogram's buckets fit."""
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
    """A column of a table: the field of the merged result, its header, and the unit of its values ("" for text)."""

    field: str
    header: str
    unit: str = ""
    decimals: int | None = None
    width: int | None = None  # pixels; absent: what is left over, shared


def table(
    title: str,
    description: str,
    queries: Sequence[Query],
    columns: Sequence[Column],
    *,
    width: int = 24,
    height: int = 8,
    most_first: str = "",
    nothing: str = NOTHING,
) -> Panel:
    """One row for each set of labels that the queries share. Fields are label names and `Value #A`, `Value #B` ..."""
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
    """Words in Markdown."""
    code = {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}
    options = {"mode": "markdown", "content": content, "code": code}
    return _panel("text", title, content, (), Look("none"), (width, height), options, {})


def row(title: str) -> Panel:
    """A heading across the page."""
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


def _panel(  # noqa: PLR0917 - one call a kind, next to each other
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
    """Words for numbers; and where values are coloured, no colour for none: Grafana would give it the lowest one's."""
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
