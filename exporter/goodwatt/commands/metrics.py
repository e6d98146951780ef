"""`goodwatt metrics`: print the reference of every metric."""

import argparse

from goodwatt.commands.output import write_output

HELP = "print the reference of every metric"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the reference depends on no flag."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - the signature that every command has
    """Print docs/metrics.md."""
    from goodwatt.publish.reference import reference

    write_output(reference())
    return 0
