"""The Makefile on a machine where nothing is installed yet."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("available", ["python3.12", "python3.14"])
def test_the_first_supported_python_is_used(tmp_path: Path, available: str) -> None:
    """The first supported python3.x on PATH creates the venv, and the missing ones cause no output."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "expand", "grep", "sed"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"the tests need {name}", pytrace=False))
    (programs / available).symlink_to("/bin/true")
    made = subprocess.run(
        ["make", "--dry-run", ".venv/.installed"],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{programs / available} -m venv .venv" in made.stdout
    assert made.stderr == ""
    assert made.stdout.startswith(f"{programs / available} -c ")
