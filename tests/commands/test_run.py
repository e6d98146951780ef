"""`goodwatt run`: flags that are checked before anything starts."""

from pathlib import Path

import pytest

from goodwatt.cli import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("flag", "value", "word"),
    [
        ("--web.listen-address", "nonsense", "lacks a port"),
        ("--web.listen-address", "localhost:99999", "no valid port"),
        ("--web.telemetry-path", "metrics", "must start with '/'"),
        ("--web.telemetry-path", "/-/ready", "reserved by goodwatt"),
    ],
)
def test_a_wrong_flag_is_one_line(flag: str, value: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unusable address or path is rejected before anything starts, with the form that is expected."""
    assert main(["run", flag, value]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("goodwatt: ") and word in lines[0]


def test_a_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A configuration file that cannot be read gives one line and exit code 2."""
    assert main(["run", "--config", "/nowhere.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "goodwatt: cannot read /nowhere.yaml: No such file or directory; check --config"
    ]
