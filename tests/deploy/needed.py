"""Paths of deploy/, and the programs that test it. A missing program fails the test with the command to install it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
CACHE = Path(os.environ.get("GOODWATT_CACHE") or Path.home() / ".cache" / "goodwatt")

PACKAGES = {  # Debian packages that are not named like the program
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
INSTALL = {
    "hadolint": "make .venv/.installed",
    "check-jsonschema": "make .venv/.installed",
    "kubectl": "install Kubernetes' client, 1.29 or newer (Debian's kubernetes-client is older)",
}


def program(name: str) -> str:
    """Return its path in this virtual environment, or else on PATH."""
    here = Path(sys.executable).parent / name
    found = str(here) if here.exists() else shutil.which(name)
    assert found, f"{name} is missing: {INSTALL.get(name) or 'apt-get install ' + PACKAGES.get(name, name)}"
    return found


def ran(*command: str | Path, within_seconds: float = 60, cwd: Path | None = None) -> str:
    """Run it and return its output; on failure raise AssertionError with the output."""
    name, *arguments = map(str, command)
    done = subprocess.run(
        [program(name), *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within_seconds,
        cwd=cwd,
    )
    assert done.returncode == 0, f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def rule_files(folder: Path = DEPLOY / "prometheus") -> Sequence[Path]:
    """Return the shipped rule files."""
    return sorted(folder.glob("*.rules.yml"))
