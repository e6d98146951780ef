"""`goodwatt dashboards`: the list, one dashboard, and the files it writes."""

from pathlib import Path

import pytest

from goodwatt.cli import main
from goodwatt.shipped_files import dashboards
from grafana.files import BOARDS, rendered


def test_it_lists_every_dashboard_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    """One line per dashboard: its uid, then its title in Grafana."""
    assert main(["dashboards"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == sorted([board.uid, board.title] for board in BOARDS)


def test_a_name_prints_that_dashboard(capsys: pytest.CaptureFixture[str]) -> None:
    """The output is the JSON file itself, ready for Grafana's import or a ConfigMap."""
    assert main(["dashboards", "goodwatt-energy"]) == 0
    assert capsys.readouterr().out == rendered()["goodwatt-energy.json"]


def test_output_writes_every_dashboard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing directory is created, files of the same name are replaced, and each path written is printed."""
    folder = tmp_path / "new" / "dashboards"
    for _ in range(2):
        assert main(["dashboards", "--output", str(folder)]) == 0
        written = [Path(line) for line in capsys.readouterr().out.splitlines()]
        assert written == sorted(folder.iterdir())
        assert {file.name: file.read_text() for file in written} == rendered()
        written[0].write_text("an older version")


def test_output_with_a_name_writes_that_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No other dashboard is written."""
    assert main(["dashboards", "goodwatt-health", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'goodwatt-health.json'}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["goodwatt-health.json"]


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the names that exist."""
    assert main(["dashboards", "energy"]) == 2
    assert capsys.readouterr().err == f"goodwatt: unknown dashboard 'energy'; known: {', '.join(dashboards())}\n"


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the path that failed, whether it is the directory, a file in it, or a full disk."""
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "goodwatt-compare.json").mkdir(parents=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "goodwatt-compare.json").symlink_to("/dev/full")
    for folder, path, reason in (
        ("file", "file", "File exists"),
        ("taken", "taken/goodwatt-compare.json", "Is a directory"),
        ("full", "full/goodwatt-compare.json", "No space left on device"),
    ):
        assert main(["dashboards", "--output", str(tmp_path / folder)]) == 1
        message = f"goodwatt: cannot write {tmp_path / path}: {reason}; choose another --output\n"
        assert capsys.readouterr().err == message
