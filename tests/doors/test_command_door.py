"""The door for a command: one file in commands/."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from goodwatt.commands import SHARED_MODULES, command_modules
from tests.doors.package_copy import changed_files, copy_of_package

ROOT = Path(__file__).parents[2]
COMMAND = '''"""`goodwatt toy`: print a greeting."""

import argparse

from goodwatt.commands.output import write_output
from goodwatt.runtime.errors import UsageError

HELP = "print a greeting"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --name."""
    parser.add_argument("--name", default="world", help="name to greet")


def run(options: argparse.Namespace) -> int:
    """Print one line."""
    if not options.name:
        raise UsageError("--name is empty")
    write_output(f"hello, {options.name}\\n")
    return 0
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with one file more."""
    copy = copy_of_package(tmp_path)
    (copy / "goodwatt" / "commands" / "toy.py").write_text(COMMAND)
    return copy


def goodwatt(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "goodwatt", *arguments]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_one_added_file_is_a_command(tree: Path) -> None:
    """It is listed by --help beside the others, has its own arguments, and its errors become exit codes."""
    assert changed_files(tree) == ["commands/toy.py"]
    listed = goodwatt(tree, "--help").stdout
    names = [line.split()[0] for line in listed.splitlines() if re.match(r"    \w", line)]
    assert names == sorted([*command_modules(), "toy"])
    assert re.search(r"^    toy +print a greeting$", listed, re.MULTILINE)
    assert "--name NAME  name to greet\n" in goodwatt(tree, "toy", "--help").stdout
    assert goodwatt(tree, "toy", "--name", "you").stdout == "hello, you\n"
    refused = goodwatt(tree, "toy", "--name", "")
    assert (refused.returncode, refused.stderr) == (2, "goodwatt: --name is empty\n")


def test_every_module_of_the_package_is_a_command_or_shared() -> None:
    """A file is a command by being there; the few that commands share are named, and each command has its help line."""
    files = {file.stem for file in (ROOT / "exporter" / "goodwatt" / "commands").glob("[!_]*.py")}
    commands = command_modules()
    assert set(commands) == files - SHARED_MODULES and files >= SHARED_MODULES
    assert all(command.HELP and "\n" not in command.HELP for command in commands.values())
