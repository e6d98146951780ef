"""Runs the benches: a table for people, build/bench.json for programs. A missed target is reported, not an error."""

import argparse
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.bench.rows import CannotRun, Row, as_lines, as_table, keep

RESULTS = Path(__file__).parents[2] / "build" / "bench.json"
NAMES = (
    "whole",
    "start",
    "gpu",
    "tick",
    "servers",
    "parse",
    "render",
    "page",
    "memory",
    "otlp",
    "energy",
    "proxy",
    "goodput",
)

Bench = Callable[[bool], list[Row]]


def bench(name: str) -> Bench:
    """The `rows(quick)` function of the module bench_NAME."""
    return import_module(f"tests.bench.bench_{name}").rows


def main() -> int:
    """0 if every bench could run, whatever it measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(NAMES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs: noisier figures")
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no bench is called {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the programs under watch end with this one
    return _run(options.names or NAMES, options.quick)


def _run(names: list[str], quick: bool) -> int:
    lines, failed = "", False
    for name in names:
        began = time.monotonic()
        try:
            rows = bench(name)(quick)
        except CannotRun as why:
            print(f"{name}: cannot run: {why}", file=sys.stderr)
            failed = True
            continue
        print(f"{as_table(name, rows)}\n  ({time.monotonic() - began:.0f} s)", flush=True)
        lines += as_lines(name, rows)
    keep(RESULTS, lines)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
