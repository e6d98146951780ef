"""What a Prometheus is to evaluate over goodwatt's metrics: recording rules and alerts, as plain data."""

from goodwatt.rules.groups import KINDS, alert_names, rule_groups
from goodwatt.rules.yaml_text import rules_text

__all__ = ["KINDS", "alert_names", "rule_groups", "rules_text"]
