"""A dashboard: variables, and panels laid out from left to right."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana import queries as q
from grafana.overrides import Json
from grafana.panels import DATASOURCE, GRID_COLUMNS, Panel

SCHEMA_VERSION = 39
TAG = "goodwatt"
UNCHOSEN = {"selected": False, "text": "", "value": ""}  # Grafana takes the first value


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable filled by `label_values(metric{selector}, label)`. `several` allows more than one value, and All."""

    name: str
    label: str
    metric: str
    selector: str = ""
    of: str = ""  # the label; its own name when empty
    several: bool = True
    last_first: bool = False  # the last value in the alphabet is the one chosen at first
    everything: str = ".+"  # what All stands for

    @property
    def query(self) -> str:
        """What Grafana asks for."""
        return f"label_values({self.metric}{{{self.selector}}}, {self.of or self.name})"


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with fixed values by what is shown for them, the first one chosen."""

    name: str
    label: str
    values: tuple[tuple[str, str], ...]


# An account may have no model's name, and is in All nevertheless.
NAMELESS_TOO = ".*"

JOB = Variable("job", "Job", "goodwatt_build_info")
INSTANCE = Variable("instance", "Instance", "goodwatt_build_info", 'job=~"$job"')
SERVER = Variable("server", "Server", "goodwatt_server_up", q.JOBS)
MODEL = Variable("model", "Model", "goodwatt_generated_tokens_total", q.SERVERS, everything=NAMELESS_TOO)
SLO = Variable("slo", "SLO", "goodwatt_slo_objective_ratio", q.JOBS, several=False)
GPU = Variable("gpu", "GPU", "goodwatt_gpu_info", q.JOBS)


@dataclass(frozen=True, slots=True)
class Marks:
    """Moments that are marked on every panel: the values of a query, which are Unix times."""

    name: str
    expression: str


# New prices, objectives or servers explain a jump.
CONFIGURED = Marks("Configuration read", f"goodwatt_config_last_reload_success_timestamp_seconds{{{q.JOBS}}} * 1000")


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `uid` is also the name of its file."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable | Choice, ...]
    panels: tuple[Panel, ...]
    marks: tuple[Marks, ...] = (CONFIGURED,)
    range: str = "now-1h"

    def json(self) -> Json:
        """As Grafana imports and provisions it."""
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
            "annotations": {"list": [_marks(marks) for marks in self.marks]},
            "links": [_others()],
            "templating": {"list": [_datasource(), *(_variable(v) for v in self.variables)]},
            "panels": placed(self.panels),
        }


def placed(panels: Sequence[Panel]) -> list[Json]:
    """Panels with ids and places: from left to right, on a new line where one does not fit any more."""
    found: list[Json] = []
    x = y = line = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > GRID_COLUMNS:
            x, y, line = 0, y + line, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append({"id": number, **panel.json, "gridPos": place})
        x, line = x + panel.width, max(line, panel.height)
    return found


def _marks(marks: Marks) -> Json:
    return {
        "name": marks.name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": "purple",
        "target": {"refId": "Anno", "expr": marks.expression, "interval": "60s"},
        "titleFormat": marks.name,
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
        "current": UNCHOSEN,
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
        "current": everything if variable.several else UNCHOSEN,
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
