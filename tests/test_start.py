"""Each command imports only what it uses, so that the short ones start fast."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WEB = {"aiohttp", "asyncio", "multidict", "ssl", "yarl"}
READING = {"google", "prometheus_client", "pynvml"}
SPANS = {"opentelemetry"}
CONFIG = {"pydantic", "pydantic_core", "yaml"}


def loaded(*arguments: str, code: int = 0) -> set[str]:
    """Return the modules that `python -m goodwatt ARGUMENTS` imports beyond those of a bare Python.

    The command modules themselves are missing, since Python does not report modules loaded by importlib.
    """
    return _imported("-m", "goodwatt", *arguments, code=code) - _imported("-c", "pass", code=0)


def _imported(*arguments: str, code: int) -> set[str]:
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=ROOT)
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_load_the_standard_library_alone(flag: str) -> None:
    """No dependency and no network module is imported; of goodwatt, only the commands and their errors."""
    modules = loaded(flag)
    jython = {"org"}  # which the standard module `copy` tries to import
    assert packages(modules) - sys.stdlib_module_names - jython == {"goodwatt"}
    assert not packages(modules) & WEB
    goodwatt = {name for name in modules if name.startswith("goodwatt.") and not name.startswith("goodwatt.commands")}
    assert goodwatt <= {f"goodwatt.{name}" for name in ("cli", "config", "log", "runtime", "version")} | {
        "goodwatt.config.errors",
        "goodwatt.runtime.errors",
    }


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        ("check", WEB | READING | SPANS),
        ("check --config deploy/goodwatt.yaml", WEB | READING),
        ("rules", WEB | READING | SPANS),
        ("engines", WEB | READING | SPANS),
        ("metrics", WEB | READING | CONFIG),
        ("dashboards", WEB | READING | CONFIG),
    ],
)
def test_a_short_command_loads_no_web_stack(command: str, forbidden: set[str]) -> None:
    """A command that only prints loads neither the web stack nor what reads GPUs and servers."""
    modules = loaded(*command.split())
    assert "goodwatt.commands.output" in modules
    assert packages(modules) & forbidden == set()
    assert not [name for name in modules if name.startswith(("goodwatt.demo", "goodwatt.sources.gpu"))]


def test_run_does_not_load_the_demo() -> None:
    """Serving real metrics needs no simulation, and no protobuf until a span sender is configured."""
    modules = loaded("run", "--web.listen-address", "nonsense", code=2)
    assert "goodwatt.runtime.serve" in modules
    assert not [name for name in modules if name.startswith(("goodwatt.demo", "google", "opentelemetry"))]
