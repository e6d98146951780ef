"""Runs rules under promtool's unit tests: series in, alerts and samples out, at any minute of a simulated week."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goodwatt.model.alerting import Alerting
from goodwatt.rules import rule_groups

ALERTING = Alerting(cost_per_million_tokens=0.5, currency="USD")
HOURS = 60  # minutes

Series = Mapping[str, "Counter | Gauge | Gap"]


def promtool() -> str:
    """Return the path of promtool. Fails if it is not installed."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: apt-get install --no-install-recommends prometheus"
    return program


class Counter:
    """A counter that starts at 0, as consecutive legs of (minutes, increase per minute)."""

    def __init__(self, *legs: tuple[int, float]) -> None:
        self.legs = legs

    def text(self, step: int) -> str:
        """Return promtool's notation with one sample per `step` minutes."""
        parts, value = [], 0.0
        for minutes, growth in self.legs:
            parts.append(f"{value:.12g}+{growth * step:.12g}x{minutes // step - 1}")
            value += growth * minutes
        return " ".join(parts)


class Gauge:
    """A gauge, as consecutive legs of (minutes, value); None is a gap."""

    def __init__(self, *legs: tuple[int, float | None]) -> None:
        self.legs = legs

    def text(self, step: int) -> str:
        """Return promtool's notation with one sample per `step` minutes."""
        parts = []
        for minutes, value in self.legs:
            count = minutes // step
            parts.append(f"_x{count}" if value is None else f"{value:.12g}+0x{count - 1}")
        return " ".join(parts)


class Gap:
    """A counter that is absent for some minutes and restarts at 0."""

    def __init__(self, before: Counter, minutes: int, after: Counter) -> None:
        self.before, self.minutes, self.after = before, minutes, after

    def text(self, step: int) -> str:
        """Return promtool's notation with one sample per `step` minutes."""
        return f"{self.before.text(step)} _x{self.minutes // step} {self.after.text(step)}"


@dataclass(frozen=True)
class Fired:
    """An expected alert with all its labels and annotations."""

    labels: Mapping[str, str]
    summary: str
    description: str


@dataclass(frozen=True)
class Story:
    """Input series, and the alerts expected to fire at given minutes (an empty tuple: none)."""

    alert: str
    series: Series
    moments: Mapping[int, Sequence[Fired]]
    alerting: Alerting = ALERTING
    groups: tuple[str, ...] = ()  # groups to evaluate; empty: all
    step: int = 1  # minutes between scrapes, and between evaluations

    def complaints(self, folder: Path) -> str:
        """Return promtool's complaints; empty if the story holds."""
        tests = [{"eval_time": f"{minute}m", **self._expected(fired)} for minute, fired in self.moments.items()]
        return Scene(self.series, self.alerting, self.groups, self.step).complaints(folder, {"alert_rule_test": tests})

    def _expected(self, fired: Sequence[Fired]) -> dict[str, Any]:
        link = {"runbook_url": f"{self.alerting.runbook_url}#{self.alert.lower()}"}
        alerts = [
            {
                "exp_labels": dict(one.labels),
                "exp_annotations": {"summary": one.summary, "description": one.description, **link},
            }
            for one in fired
        ]
        return {"alertname": self.alert, "exp_alerts": alerts}


@dataclass(frozen=True)
class Scene:
    """Input series for tests in promtool's own format."""

    series: Series
    alerting: Alerting = ALERTING
    groups: tuple[str, ...] = ()
    step: int = 1

    def sample_complaints(self, folder: Path, expected: Mapping[tuple[str, int], Mapping[str, float]]) -> str:
        """Return promtool's complaints about expected values, by (expression, minute) and series."""
        tests = [
            {
                "expr": expr,
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in found.items()],
            }
            for (expr, minute), found in expected.items()
        ]
        return self.complaints(folder, {"promql_expr_test": tests})

    def complaints(self, folder: Path, tests: Mapping[str, Any]) -> str:
        """Return promtool's complaints; empty if all tests pass."""
        groups = self._groups()
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, sort_keys=False))
        inputs = [{"series": name, "values": values.text(self.step)} for name, values in self.series.items()]
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{self.step}m",
            "group_eval_order": [group["name"] for group in groups],
            "tests": [{"interval": f"{self.step}m", "input_series": inputs, **tests}],
        }
        (folder / "tests.yml").write_text(json.dumps(document))
        command = [promtool(), "test", "rules", str(folder / "tests.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _groups(self) -> list[dict[str, Any]]:
        groups = [group for group in rule_groups(self.alerting) if not self.groups or group["name"] in self.groups]
        for group in groups:
            group.pop("interval", None)  # evaluate once per step: a simulated week takes seconds
        return groups
