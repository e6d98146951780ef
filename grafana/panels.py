"""Panels of classic dashboard JSON (schemaVersion 39): one function a kind.

Every panel has a title, a description, a unit and a text for when there is nothing to show. An `optional` panel may be
empty on a healthy installation, for the reason that it gives; the reason is then what it shows in place of figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
GRID_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression. `instant` asks for now only; tables and bars want that."""

    expression: str
    legend: str = ""
    instant: bool = False
    optional: str = ""  # why it may return nothing
    format: str = "time_series"  # `heatmap` makes of a histogram's cumulative buckets what is in each of them


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
    """How values are written. `steps` colours from the value on, the first one from minus infinity."""

    unit: str
    decimals: int | None = None
    least: float | None = None
    most: float | None = None
    steps: Sequence[tuple[float | None, str]] = ()
    overrides: Sequence[Json] = field(default_factory=tuple)


def timeseries(
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    *,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    interval: str | None = None,
    fill: int = 10,
) -> Panel:
    """Lines over time. `stacked` adds them up, for parts of one whole."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 60 if stacked else fill,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return _panel("timeseries", title, description, queries, look, (width, height), options, custom, interval)


def stat(
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    *,
    width: int = 4,
    height: int = 4,
    graph: bool = False,
    interval: str | None = None,
) -> Panel:
    """One large figure a query; with `graph` its course behind it."""
    options = {
        "colorMode": "value" if look.steps else "none",
        "graphMode": "area" if graph else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value_and_name" if any(query.legend for query in queries) else "value",
    }
    return _panel("stat", title, description, queries, look, (width, height), options, {}, interval)


def bars(
    title: str, description: str, queries: Sequence[Query], look: Look, *, width: int = 12, height: int = 8
) -> Panel:
    """Horizontal bars, one a series."""
    options = {
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "sizing": "manual",
        "minVizHeight": 16,
        "maxVizHeight": 40,
        "text": {"titleSize": 14, "valueSize": 16},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return _panel("bargauge", title, description, queries, look, (width, height), options, {}, None)


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
) -> Panel:
    """One row for each set of labels that the queries share. Fields are label names and `Value #A`, `Value #B` ..."""
    overrides = [_column_override(column) for column in columns if column.unit or column.width]
    organize = {
        "includeByName": {column.field: True for column in columns},
        "indexByName": {column.field: at for at, column in enumerate(columns)},
        "renameByName": {column.field: column.header for column in columns},
    }
    look = Look("none", overrides=overrides)
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
    }
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "minWidth": 70, "inspect": False}
    panel = _panel("table", title, description, queries, look, (width, height), options, custom, None)
    for target in panel.json["targets"]:
        target["format"] = "table"
    panel.json["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    return panel


def text(title: str, content: str, *, width: int = 24, height: int = 3) -> Panel:
    """Words in Markdown."""
    options = {"mode": "markdown", "content": content, "code": {"language": "plaintext", "showLineNumbers": False}}
    return _panel("text", title, content, (), Look("none"), (width, height), options, {}, None)


def row(title: str) -> Panel:
    """A heading across the page."""
    return Panel(GRID_COLUMNS, 1, {"type": "row", "title": title, "collapsed": False, "panels": []})


def by_name(name: str, properties: Mapping[str, Any]) -> Json:
    """An override of the series or column of this name."""
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": listed}


def _column_override(column: Column) -> Json:
    given = {"unit": column.unit or None, "decimals": column.decimals, "custom.width": column.width}
    properties = {key: value for key, value in given.items() if value is not None}
    return by_name(column.header, properties)


def _panel(  # noqa: PLR0917 - one call a kind, next to each other
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Query],
    look: Look,
    size: tuple[int, int],
    options: Json,
    custom: Json,
    interval: str | None,
) -> Panel:
    reasons = [query.optional for query in queries if query.optional]
    panel: Json = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [_target(at, query) for at, query in enumerate(queries)],
        "fieldConfig": {
            "defaults": _defaults(look, custom, reasons[0] if reasons else "no samples in this range"),
            "overrides": list(look.overrides),
        },
        "options": options,
    }
    if interval is not None:
        panel["interval"] = interval
    return Panel(size[0], size[1], panel, tuple(queries))


def _defaults(look: Look, custom: Json, nothing: str) -> Json:
    steps = [{"value": value, "color": color} for value, color in look.steps] or [{"value": None, "color": "text"}]
    defaults: Json = {
        "unit": look.unit,
        "noValue": nothing,
        "color": {"mode": "thresholds" if look.steps else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [],
        "links": [],
    }
    limits = {"decimals": look.decimals, "min": look.least, "max": look.most}
    defaults |= {key: value for key, value in limits.items() if value is not None}
    return defaults | ({"custom": custom} if custom else {})


def _target(at: int, query: Query) -> Json:
    return {
        "refId": chr(ord("A") + at),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": query.instant,
        "range": not query.instant,
        "format": query.format,
    }
