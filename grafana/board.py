"""A dashboard: its variables, and its panels laid out from left to right."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana import queries as q
from grafana.overrides import Json
from grafana.panels import DATASOURCE, GRID_COLUMNS, Panel

SCHEMA_VERSION = 39
TAG = "goodwatt"
UNSELECTED = {"selected": False, "text": "", "value": ""}  # Grafana selects the first value


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable filled by `label_values(metric{selector}, label)`. `several` allows several values, and All."""

    name: str
    label: str
    metric: str
    selector: str = ""
    of: str = ""  # the label; empty: the same as `name`
    several: bool = True
    last_first: bool = False  # preselect the alphabetically last value
    everything: str = ".+"  # regular expression for All

    @property
    def query(self) -> str:
        """The Grafana query that lists the values."""
        return f"label_values({self.metric}{{{self.selector}}}, {self.of or self.name})"


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with fixed (text, value) pairs; the first is preselected."""

    name: str
    label: str
    values: tuple[tuple[str, str], ...]


# All includes accounts with an empty model name.
ANY_MODEL = ".*"

JOB = Variable("job", "Job", "goodwatt_build_info")
INSTANCE = Variable("instance", "Instance", "goodwatt_build_info", 'job=~"$job"')
SERVER = Variable("server", "Server", "goodwatt_server_up", q.JOBS)
MODEL = Variable("model", "Model", "goodwatt_generated_tokens_total", q.SERVERS, everything=ANY_MODEL)
SLO = Variable("slo", "SLO", "goodwatt_slo_objective_ratio", q.JOBS, several=False)
GPU = Variable("gpu", "GPU", "goodwatt_gpu_info", q.JOBS)


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation on every panel at the times that a query returns, in Unix milliseconds."""

    name: str
    expression: str


# New prices, objectives or servers explain a jump.
CONFIGURED = Annotation(
    "Configuration loaded", f"goodwatt_config_last_reload_success_timestamp_seconds{{{q.JOBS}}} * 1000"
)


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `uid` is also its file name."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable | Choice, ...]
    panels: tuple[Panel, ...]
    annotations: tuple[Annotation, ...] = (CONFIGURED,)
    range: str = "now-1h"

    def json(self) -> Json:
        """The dashboard JSON for import and provisioning."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "fiscalYearStartMonth": 0,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "browser",
            "time": {"from": self.range, "to": "now"},
            "timepicker": {},
            "annotations": {"list": [_annotation(each) for each in self.annotations]},
            "links": [_others()],
            "templating": {"list": [_datasource(), *(_variable(v) for v in self.variables)]},
            "panels": placed(self.panels),
        }


def placed(panels: Sequence[Panel]) -> list[Json]:
    """Assign ids and grid positions, left to right, wrapping to a new row when a panel does not fit."""
    found: list[Json] = []
    x = y = line = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > GRID_COLUMNS:
            x, y, line = 0, y + line, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append({"id": number, **panel.json, "gridPos": place})
        x, line = x + panel.width, max(line, panel.height)
    return found


def _annotation(annotation: Annotation) -> Json:
    return {
        "name": annotation.name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "purple",
        "target": {"refId": "Anno", "expr": annotation.expression, "interval": "60s"},
        "titleFormat": annotation.name,
        "tagKeys": "instance",
        "useValueForTime": True,
    }


def _others() -> Json:
    return {
        "type": "dashboards",
        "title": "goodwatt",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": UNSELECTED,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
    }


def _variable(variable: Variable | Choice) -> Json:
    if isinstance(variable, Choice):
        return _choice(variable)
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    every = {"allValue": variable.everything} if variable.several else {}
    return every | {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.query,
        "query": {"query": variable.query, "refId": variable.name},
        "current": everything if variable.several else UNSELECTED,
        "hide": 0,
        "includeAll": variable.several,
        "multi": variable.several,
        "options": [],
        "refresh": 2,
        "regex": "",
        "sort": 2 if variable.last_first else 1,
    }


def _choice(choice: Choice) -> Json:
    options = [{"text": text, "value": value, "selected": at == 0} for at, (text, value) in enumerate(choice.values)]
    return {
        "name": choice.name,
        "label": choice.label,
        "type": "custom",
        "query": ", ".join(f"{text} : {value}" for text, value in choice.values),
        "current": options[0],
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": options,
    }
