"""One module per command. To add a command, add a module here; the command line finds it by itself.

A command module imports the rest of goodwatt inside `run` only. That keeps `--help` and `--version` fast, and each
command loads only what it uses.
"""

import argparse
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

SHARED_MODULES = frozenset({"flags", "output"})  # used by several commands, and not commands themselves


class Command(Protocol):
    """The three names that a command module defines."""

    HELP: str  # one line for `goodwatt --help`

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments to `parser`."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work and return the exit code. Raises ConfigError, UsageError or StartupError for the user to fix."""


def command_modules() -> Mapping[str, Command]:
    """Every command by its name on the command line, sorted by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in SHARED_MODULES)
    return {name: cast(Command, import_module(f"{__name__}.{name}")) for name in names}
