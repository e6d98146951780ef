"""Energy from sampled power against the stub driver's true integral, on a 2 s square wave of 100 and 500 W."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.observed import driver, program
from tests.bench.rows import Row
from tests.fakes.nvml_stub import StubGpu, stub_of

ERROR_PERCENT = 2.0
INTERVAL_SECONDS = 5.0  # between two reads, as by default; power is sampled in between


def rows(quick: bool) -> list[Row]:
    """The worst error of any interval, and the total error."""
    intervals = 2 if quick else 8
    with tempfile.TemporaryDirectory() as folder, _readings(Path(folder)) as (gpu, readings):
        seen = [next(readings) for _ in range(intervals + 1)]
    worst = max(_error_percent(gpu, first, last) for first, last in pairwise(seen))
    whole = _error_percent(gpu, seen[0], seen[-1])
    return [
        Row(f"integrated power, worst of {intervals} intervals of {INTERVAL_SECONDS:g} s", worst, "%", ERROR_PERCENT),
        Row(f"integrated power, {intervals * INTERVAL_SECONDS:g} s together", whole, "%", ERROR_PERCENT),
    ]


def _error_percent(gpu: StubGpu, first: dict[str, Any], last: dict[str, Any]) -> float:
    counted = last["energy"]["millijoules"] - first["energy"]["millijoules"]
    true = gpu.true_mj(last["at_seconds"]) - gpu.true_mj(first["at_seconds"])
    return abs(counted / true - 1) * 100


@contextlib.contextmanager
def _readings(path: Path) -> Iterator[tuple[StubGpu, Iterator[dict[str, Any]]]]:
    stub = stub_of(path)
    gpu = stub.gpus[0]
    gpu.counter, gpu.low_mw, gpu.high_mw, gpu.period_ms = False, 100_000, 500_000, 2000
    stub.write()
    command = [sys.executable, "-m", "tests.fakes.read_gpus", str(INTERVAL_SECONDS), "2"]
    environment = stub.environ(driver(path))
    with program(command, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        yield gpu, (json.loads(line)["gpus"][0] for line in reader.stdout)
