"""Rules and groups, and their form in a Prometheus rule file."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from goodwatt.model.alerting import Alerting

PAGE, TICKET = "page", "ticket"  # severities: wake the on-call engineer; handle within a working day


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A recording rule named level:metric:operation. The level determines the labels that remain."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as it appears in a rule file."""
        return {"record": self.name, "expr": self.expr} | ({"labels": dict(self.labels)} if self.labels else {})


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule. `wait` is its `for` duration; empty fires at once."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    runbook_url: str  # the page; the alert's section is added as the anchor
    wait: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as it appears in a rule file."""
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


# One alert: the rule, and the recording rules that it needs, in the order of evaluation.
AlertFunction = Callable[[Alerting], Iterable[RecordingRule | AlertRule]]


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that Prometheus evaluates in order, so each may use the ones before it."""

    name: str
    rules: tuple[RecordingRule | AlertRule, ...]
    interval: str = ""  # empty: Prometheus's global evaluation interval

    def to_dict(self) -> dict[str, Any]:
        """Return the group as it appears in a rule file or a PrometheusRule."""
        timed = {"interval": self.interval} if self.interval else {}
        return {"name": self.name, **timed, "rules": [rule.to_dict() for rule in self.rules]}


def group_of(name: str, alerts: Iterable[AlertFunction], alerting: Alerting, interval: str = "") -> RuleGroup:
    """Return a group with the rules of several alerts."""
    return RuleGroup(name, tuple(rule for alert in alerts for rule in alert(alerting)), interval)
