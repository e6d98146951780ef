"""The door for a metric: one row in a module of publish/metrics/."""

import os
import shutil
import subprocess
import sys
from filecmp import dircmp
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = {"gpus": "GPUS", "servers": "SERVERS", "requests": "REQUESTS", "ledger": "LEDGER", "slo": "SLOS", "live": "LIVE"}
ROWS["goodwatt"] = "GOODWATT"
TOY = """
    Metric(
        name="toy_accounts",
        kind=Kind.GAUGE,
        unit="accounts",
        help="Accounts with energy.",
        labels=("state",),
        value=lambda snapshot: [(("known",), len({account for account, _ in snapshot.ledger.energy_millijoules}))],
    ),
"""
PRINT = """
from goodwatt.cli import main
from tests.publish.pages import rendered, small

print(rendered(small()), "# goodwatt metrics", sep="\\n", flush=True)
main(["metrics"])
"""


@pytest.mark.parametrize("module", ROWS)
def test_one_row_is_a_metric(tmp_path: Path, module: str) -> None:
    """A row added to any module of metrics appears on /metrics and in `goodwatt metrics`; one file changes."""
    tree = tmp_path / "exporter"
    shutil.copytree(ROOT / "exporter", tree, ignore=shutil.ignore_patterns("__pycache__"))
    rows = tree / "goodwatt" / "publish" / "metrics" / f"{module}.py"
    text, beginning = rows.read_text(), f"\n{ROWS[module]} = (\n"
    assert text.count(beginning) == 1
    rows.write_text(text.replace(beginning, beginning + TOY))
    assert changed_files(dircmp(ROOT / "exporter", tree, ignore=["__pycache__"])) == [f"{module}.py"]

    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}
    command = [sys.executable, "-P", "-c", PRINT]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    page, reference = ran.stdout.split("# goodwatt metrics")
    assert "# HELP goodwatt_toy_accounts Accounts with energy.\n" in page
    assert 'goodwatt_toy_accounts{state="known"} 1.0\n' in page
    _, _, entry = reference.partition("### `goodwatt_toy_accounts`\n")
    assert "Accounts with energy.\n" in entry and "* Labels: `state`\n" in entry.partition("###")[0]


def changed_files(comparison: dircmp[str]) -> list[str]:
    """Return the names of the files that differ between two trees, or that only one of them has."""
    here = [*comparison.diff_files, *comparison.left_only, *comparison.right_only]
    return here + [name for below in comparison.subdirs.values() for name in changed_files(below)]
