"""Regenerates the generated pages of docs/ and the Prometheus rules: `make docs`. Tests compare both with the files."""

from functools import partial
from pathlib import Path

from goodwatt.config.reference import configuration_reference as configuration
from goodwatt.engines import load_profiles
from goodwatt.engines.report.coverage import coverage_matrix
from goodwatt.model.alerting import Alerting
from goodwatt.publish.reference import reference as metrics
from goodwatt.rules import rules_text

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

BEGIN, END = "<!-- made by `make docs` -->\n\n", "\n<!-- end -->"


def engines() -> str:
    """docs/engines.md with regenerated tables and everything else unchanged."""
    before, _, rest = (DOCS / "engines.md").read_text().partition(BEGIN)
    return before + BEGIN + coverage_matrix(load_profiles()) + END + rest.partition(END)[2]


def rules(kind: str) -> str:
    """deploy/prometheus/goodwatt-KIND.rules.yml, for the objectives that the scraped goodwatts publish."""
    return rules_text(Alerting(), kind)


PAGES = {
    "docs/metrics.md": metrics,
    "docs/configuration.md": configuration,
    "docs/engines.md": engines,
    "deploy/prometheus/goodwatt-recording.rules.yml": partial(rules, "recording"),
    "deploy/prometheus/goodwatt-alerts.rules.yml": partial(rules, "alerts"),
}


def main() -> None:
    """Write the files that differ and say which."""
    for name, make in PAGES.items():
        page = ROOT / name
        text = make()
        if not page.exists() or page.read_text() != text:
            page.parent.mkdir(exist_ok=True)
            page.write_text(text)
            print(f"written: {name}")


if __name__ == "__main__":
    main()
