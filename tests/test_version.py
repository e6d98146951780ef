"""`goodwatt --version`."""

import sys
from pathlib import Path

import pytest

from goodwatt import __version__
from goodwatt.cli import main
from goodwatt.version import built_from, version_line

PYTHON = f"Python {sys.version.split()[0]}"


def test_a_checkout_has_no_commit(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing asks git at start: without a recorded commit, only the version and the Python are printed."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"goodwatt {__version__} ({PYTHON})\n"


def test_a_build_records_its_commit(tmp_path: Path) -> None:
    """The commit file's text is printed before the Python version; an empty file counts as none."""
    file = tmp_path / "commit.txt"
    file.write_text("1a2b3c4-dirty\n")
    assert version_line(file) == f"goodwatt {__version__} (commit 1a2b3c4-dirty, {PYTHON})"
    file.write_text("\n")
    assert built_from(file) is None
