"""Rules and their groups, and what they are in YAML."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAGE, TICKET = "page", "ticket"  # somebody is woken, somebody looks at it in working hours


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule; `name` is level:metric:operation, and the level says by which labels it is summed."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {"record": self.name, "expr": self.expr} | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert; `wait` is how long `expr` must hold before it fires."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    runbook_url: str  # the page; the alert's own section is its anchor
    wait: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The rule as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": self.severity, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{self.runbook_url}#{self.name.lower()}",
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other, so that each may use those before it."""

    name: str
    rules: tuple[Record | Alert, ...]
    interval: str = ""  # empty: that of the Prometheus

    def plain(self) -> dict[str, Any]:
        """The group as Prometheus reads it, also inside a PrometheusRule."""
        timed = {"interval": self.interval} if self.interval else {}
        return {"name": self.name, **timed, "rules": [rule.plain() for rule in self.rules]}
