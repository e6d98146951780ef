"""`goodwatt rules`: the rule files for Prometheus."""

from pathlib import Path

import pytest

from goodwatt.cli import main
from goodwatt.shipped_files import rule_files


def test_it_prints_the_shipped_files_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """With the defaults, each kind is the file of that name in deploy/prometheus."""
    for kind in ("alerts", "recording"):
        assert main(["rules", "--kind", kind]) == 0
        assert capsys.readouterr().out == rule_files()[f"goodwatt-{kind}.rules.yml"].read_text()


def test_it_follows_the_configuration_and_the_runbook_url(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An alert that --config disables is missing, and the others link to --runbook-url."""
    (tmp_path / "g.yaml").write_text("alerts: {disabled: [GoodwattAbsent]}\n")
    assert main(["rules", "--config", str(tmp_path / "g.yaml"), "--runbook-url", "https://r.example/x"]) == 0
    out = capsys.readouterr().out
    assert "alert: GoodwattAbsent\n" not in out
    assert "runbook_url: https://r.example/x#" in out and "docs/runbooks.md#" not in out
