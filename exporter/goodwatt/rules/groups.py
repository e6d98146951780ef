"""All rule groups, by kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from goodwatt.model.alerting import Alerting
from goodwatt.rules.cost_alerts import cost_alert_group
from goodwatt.rules.gpu_alerts import gpu_alert_group
from goodwatt.rules.health_alerts import health_alert_group
from goodwatt.rules.recording import recording_groups
from goodwatt.rules.rule import AlertRule, RuleGroup
from goodwatt.rules.slo_alerts import slo_alert_groups


def _alert_groups(alerting: Alerting) -> tuple[RuleGroup, ...]:
    others = (cost_alert_group, gpu_alert_group, health_alert_group)
    groups = (*slo_alert_groups(alerting), *(group(alerting) for group in others))
    return tuple(kept for group in groups if (kept := _without(group, alerting.disabled)).rules)


def _without(group: RuleGroup, names: frozenset[str]) -> RuleGroup:
    return replace(group, rules=tuple(rule for rule in group.rules if rule.name not in names))


_GENERATORS: Mapping[str, Callable[[Alerting], tuple[RuleGroup, ...]]] = {
    "recording": recording_groups,
    "alerts": _alert_groups,
}
RULE_KINDS = (*_GENERATORS, "all")


def rule_groups(alerting: Alerting, kind: str = "all") -> list[dict[str, Any]]:
    """Return the groups of `recording`, `alerts` or `all` as plain data.

    They fit under `groups:` in a rule file and `spec.groups` in a PrometheusRule. Alerts need no recording rules
    outside their own groups.
    """
    generators = [generator for name, generator in _GENERATORS.items() if kind in (name, "all")]
    return [group.to_dict() for generator in generators for group in generator(alerting)]


def alert_names() -> tuple[str, ...]:
    """Return the name of every alert that can be generated, in file order."""
    groups = _alert_groups(Alerting(cost_per_million_tokens=1.0, currency="USD"))
    return tuple(dict.fromkeys(rule.name for group in groups for rule in group.rules if isinstance(rule, AlertRule)))
