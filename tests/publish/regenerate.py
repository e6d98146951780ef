"""Regenerate the golden pages and docs/metrics.md: `python -m tests.publish.regenerate`. Review the diff."""

from pathlib import Path

from goodwatt.publish.reference import reference
from tests.publish.pages import WRITERS, rendered, small

GOLDEN = Path(__file__).parent / "golden"
REFERENCE = Path(__file__).parents[2] / "docs" / "metrics.md"


def golden(form: str) -> Path:
    """Return the path of a format's golden page."""
    return GOLDEN / f"small.{form}.prom"


if __name__ == "__main__":
    for form in WRITERS:
        golden(form).write_text(rendered(small(), form), "utf-8")
    REFERENCE.write_text(reference(), "utf-8")
