"""CPU time and memory of the short commands, from start to exit: `python -m tests.bench start`."""

import os
import sys
from pathlib import Path

from tests.bench.rows import Row, median

ROOT = Path(__file__).parents[2]
CPU_TARGETS = {"--version": 0.25, "--help": 0.25, "metrics": 0.5, "dashboards": 0.5, "rules": 1.0, "check": 1.0}


def rows(quick: bool) -> list[Row]:
    """The median of several runs of each command."""
    found: list[Row] = []
    for command, target in CPU_TARGETS.items():
        cpu, memory = zip(*(_costs(command) for _ in range(3 if quick else 9)), strict=True)
        found.append(Row(f"{command}: CPU time", median(cpu), "s", target))
        found.append(Row(f"{command}: peak memory", median(memory), "MiB"))
    return found


def _costs(command: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of one process."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "goodwatt", command],
        os.environ | {"PYTHONPATH": str(ROOT / "exporter")},
        file_actions=silent,
    )
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, command
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
