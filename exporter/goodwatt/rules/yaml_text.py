"""A rules file, as people read it: long expressions and words over several lines."""

from typing import Any

import yaml
from yaml.nodes import ScalarNode

from goodwatt.model.alerting import Alerting
from goodwatt.rules.groups import rule_groups

WIDTH = 120
HEAD = "# Made by `goodwatt rules --kind {kind}`; docs/alerts.md tells how to use it. Prometheus 2.42 or newer.\n"


def rules_text(alerting: Alerting, kind: str) -> str:
    """YAML that Prometheus loads."""
    groups = {"groups": rule_groups(alerting, kind)}
    return HEAD.format(kind=kind) + yaml.dump(groups, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


class _Dumper(yaml.SafeDumper):
    """Lines stay lines, and lists are indented."""

    def represent_scalar(self, tag: str, value: Any, style: str | None = None) -> ScalarNode:
        return super().represent_scalar(tag, value, "|" if "\n" in str(value) else style)

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's
        super().increase_indent(flow, False)

    def ignore_aliases(self, _data: Any) -> bool:
        return True
