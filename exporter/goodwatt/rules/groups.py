"""All groups of rules, by kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from goodwatt.model.alerting import Alerting
from goodwatt.rules.cost_alerts import economy_groups
from goodwatt.rules.gpu_alerts import machine_groups
from goodwatt.rules.recording import recording_groups
from goodwatt.rules.rule import Alert, Group
from goodwatt.rules.slo_alerts import objective_groups


def _alert_groups(alerting: Alerting) -> tuple[Group, ...]:
    groups = (*objective_groups(alerting), *economy_groups(alerting), *machine_groups(alerting))
    return tuple(kept for group in groups if (kept := _without(group, alerting.disabled)).rules)


def _without(group: Group, names: frozenset[str]) -> Group:
    return replace(group, rules=tuple(rule for rule in group.rules if rule.name not in names))


_MAKERS: Mapping[str, Callable[[Alerting], tuple[Group, ...]]] = {
    "recording": recording_groups,
    "alerts": _alert_groups,
}
KINDS = (*_MAKERS, "all")


def rule_groups(alerting: Alerting, kind: str = "all") -> list[dict[str, Any]]:
    """The groups of `recording`, `alerts` or `all` as plain data: what stands under `groups:` of a rules file, and
    under `spec.groups` of a PrometheusRule. The alerts need no recording rule outside their own groups.
    """
    makers = [maker for name, maker in _MAKERS.items() if kind in (name, "all")]
    return [group.plain() for maker in makers for group in maker(alerting)]


def alert_names() -> tuple[str, ...]:
    """Every alert that can be generated, in the order of the file."""
    groups = _alert_groups(Alerting(cost_per_million_tokens=1.0, currency="USD"))
    return tuple(dict.fromkeys(rule.name for group in groups for rule in group.rules if isinstance(rule, Alert)))
