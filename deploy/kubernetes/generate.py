"""Generate the PrometheusRule from the rule files in deploy/prometheus: `make docs`. A test compares the two."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RULES = FOLDER.parent / "prometheus"
FILE = FOLDER / "monitoring" / "prometheusrule.yaml"


class _Readable(yaml.SafeDumper):
    """Dumps multi-line text as a literal block."""


def _lines(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _lines)


def rendered() -> str:
    """Return the groups of every rule file as one PrometheusRule in YAML."""
    files = [yaml.safe_load(file.read_text()) for file in sorted(RULES.glob("*.rules.yml"))]
    found: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "goodwatt", "labels": {"app.kubernetes.io/name": "goodwatt"}},
        "spec": {"groups": [group for file in files for group in file["groups"]]},
    }
    return "# Made by `make docs`.\n" + yaml.dump(found, Dumper=_Readable, sort_keys=False, width=1000)


if __name__ == "__main__":
    if not FILE.exists() or FILE.read_text() != rendered():
        FILE.write_text(rendered())
        print(f"written: {FILE.relative_to(FOLDER.parent.parent)}")  # noqa: T201 - a command
