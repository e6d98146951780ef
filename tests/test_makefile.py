"""The Makefile where a newcomer meets it: before anything is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("there", ["python3.12", "python3.14"])
def test_the_first_python_that_is_new_enough_is_taken(tmp_path: Path, there: str) -> None:
    """Whichever of the versions exists is used, whichever others are missing, and nothing is printed on the way."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "expand", "grep", "sed"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"the tests need {name}", pytrace=False))
    (programs / there).symlink_to("/bin/true")
    made = subprocess.run(
        ["make", "--dry-run", ".venv/.installed"],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{programs / there} -m venv .venv" in made.stdout
    assert made.stderr == ""
    assert made.stdout.startswith(f"{programs / there} -c ")
