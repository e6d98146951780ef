"""`goodwatt metrics`: the reference of every metric."""

from pathlib import Path

import pytest

from goodwatt.cli import main

ROOT = Path(__file__).parents[2]


def test_metrics_prints_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """`goodwatt metrics` prints docs/metrics.md."""
    assert main(["metrics"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "metrics.md").read_text()
