"""`goodwatt demo`: its own flags."""

from pathlib import Path

import pytest

from goodwatt.cli import main

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("fault", "word"), [("slow", "such as slow:chat@60+120"), ("slow:nobody@1", "knows the servers chat, batch")]
)
def test_an_unusable_fault_is_one_line(fault: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo rejects it before anything starts, with the form that is expected."""
    assert main(["demo", "--fault", "restart@1", "--fault", fault]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("goodwatt: --fault ") and word in lines[0]
