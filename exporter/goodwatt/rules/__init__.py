"""Recording rules and alerts for a Prometheus that scrapes goodwatt, as plain data.

An alert is one function that yields an `AlertRule`, listed in the tuple at the end of its module (`GPU_ALERTS`,
`HEALTH_ALERTS`, `COST_ALERTS`), with stories in tests/rules and a section in docs/runbooks.md.
"""

from goodwatt.rules.groups import RULE_KINDS, alert_names, rule_groups
from goodwatt.rules.yaml_text import rules_text

__all__ = ["RULE_KINDS", "alert_names", "rule_groups", "rules_text"]
