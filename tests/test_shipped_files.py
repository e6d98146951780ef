"""The files distributed with goodwatt, in a checkout. tests/end_to_end/test_wheel.py tests an installed package."""

from pathlib import Path

from goodwatt.shipped_files import dashboards, rule_files, runbooks
from grafana.files import BOARDS

ROOT = Path(__file__).parents[1]


def test_a_checkout_has_them_in_their_source_folders() -> None:
    """Dashboards are found by uid and rule files by name, sorted, and the runbooks are one page."""
    assert list(dashboards()) == sorted(board.uid for board in BOARDS)
    assert all(file.parent == ROOT / "grafana" / "dashboards" for file in dashboards().values())
    assert list(rule_files()) == ["goodwatt-alerts.rules.yml", "goodwatt-recording.rules.yml"]
    assert all(file.is_file() for file in rule_files().values())
    assert runbooks() == ROOT / "docs" / "runbooks.md" and runbooks().is_file()
