"""How the counter and power change: every change with its time, under three kinds of load."""

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pynvml

from goodwatt.derive.energy.power_integral import PowerIntegral, extend_integral
from tests.hardware.answers import field_rows, gpu
from tests.hardware.load import Load

PHASES = (("idle", 8.0), ("steady", 12.0), ("bursts", 10.0))
SAMPLE_SECONDS = 0.1  # as goodwatt integrates
THROTTLE = tuple((field, 0) for field in (74, 75, 76, 77, 78, 79, 269, 270, 271))
Series = list[tuple[float, int]]


def under_loads() -> dict[str, Any]:
    with Load() as load:
        phases = {kind: _phase(load, kind, seconds) for kind, seconds in PHASES}
    series = {kind: phase.pop("series") for kind, phase in phases.items()}
    return {"phases": phases, "series": series}


def _phase(load: Load, kind: str, seconds: float) -> dict[str, Any]:
    load.begin(kind, seconds + 2)
    time.sleep(1.5)  # the mean of the last second is of this phase when watching begins
    before, began = field_rows(THROTTLE), time.monotonic()
    watched = watch(seconds)
    after, elapsed = field_rows(THROTTLE), time.monotonic() - began
    load.wait()
    return {
        "throttle_increase": {
            str(a["field"]): (a["value"] or 0) - (b["value"] or 0) for a, b in zip(after, before, strict=True)
        },
        "throttle_elapsed_seconds": elapsed,
        **summary(watched),
        "series": {name: thinned(series) for name, series in watched.items()},
    }


def watch(seconds: float) -> dict[str, Series]:
    """Record changes of each figure, polling about every 2 ms."""
    handle = gpu()
    ask: dict[str, Callable[[], int]] = {
        "energy": lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)),
        "instant": lambda: _power(handle, 186),
        "average": lambda: _power(handle, 185),
        "usage": lambda: int(pynvml.nvmlDeviceGetPowerUsage(handle)),
        "utilization": lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
    }
    series: dict[str, Series] = {name: [] for name in ask}
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        for name, question in ask.items():
            value, known = question(), series[name]
            if not known or known[-1][1] != value:
                known.append((round(time.monotonic() - began, 5), value))
        time.sleep(max(0.0, 0.002 - (time.monotonic() - began - now)))
    return series


def _power(handle: Any, field: int) -> int:
    (value,) = pynvml.nvmlDeviceGetFieldValues(handle, [(field, 0)])
    return int(value.value.uiVal) if value.nvmlReturn == 0 else -1


def summary(watched: dict[str, Series]) -> dict[str, Any]:
    """Return update periods, steps, and the counter compared with integrals from its first to its last change."""
    energy = watched["energy"]
    start, end = energy[1][0], energy[-1][0]
    counted = energy[-1][1] - energy[1][1]
    found: dict[str, Any] = {
        "counter_millijoules": counted,
        "counter_seconds": end - start,
        "counter_steps_millijoules": _spread([b[1] - a[1] for a, b in pairwise(energy[1:])]),
        "period_seconds": {name: _spread([b[0] - a[0] for a, b in pairwise(s[1:])]) for name, s in watched.items()},
    }
    for name in ("instant", "average", "usage"):
        found[f"{name}_held_ratio"] = held(watched[name], start, end) / counted
        found[f"{name}_sampled_ratio"] = sampled(watched[name], start, end) / counted
    return found


def _spread(values: Sequence[float]) -> list[float] | None:
    """Return minimum, median and maximum."""
    return [min(values), statistics.median(values), max(values)] if values else None


def held(series: Series, start: float, end: float) -> float:
    """Millijoules when each value holds until the next change."""
    total, until = 0.0, end
    for at, milliwatts in reversed(series):
        if at < until:
            total += milliwatts * (until - max(at, start))
            until = at
        if at <= start:
            break
    return total


def sampled(series: Series, start: float, end: float) -> float:
    """Millijoules as goodwatt integrates them: trapezoids over a sample every 0.1 s."""
    integral, at, index = PowerIntegral(), start, 0
    while at <= end:
        while index + 1 < len(series) and series[index + 1][0] <= at:
            index += 1
        integral = extend_integral(integral, at, series[index][1])
        at += SAMPLE_SECONDS
    return integral.millijoules * (end - start) / (at - SAMPLE_SECONDS - start)


def thinned(series: Series, most: int = 1500) -> Series:
    return series[:most]
