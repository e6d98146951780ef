"""Checks goodwatt's assumptions against captures from real GPUs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goodwatt.derive.energy.meters import energy_increase, update_meter
from goodwatt.model.gpu import EnergyCounter, EnergyMethod, EnergyScope, Gpu, GpuReading
from goodwatt.sources.gpu.nvml import nearest_scope
from tests.hardware.changes import Series, sampled

FOLDERS = sorted(path for path in (Path(__file__).parent / "captures").iterdir() if path.is_dir())
PHASES = ("idle", "steady", "bursts")
pytestmark = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


def capture(folder: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return loaded


def rows(folder: Path) -> dict[tuple[int, int], dict[str, Any]]:
    return {(row["field"], row["scope"]): row for row in capture(folder, "fields")["rows"]}


def readings(energy: Series, limit_watts: float, interval: float) -> Iterator[GpuReading]:
    """Yield the counter as goodwatt would have read it every `interval` seconds."""
    at, index = energy[0][0], 0
    while at <= energy[-1][0]:
        while index + 1 < len(energy) and energy[index + 1][0] <= at:
            index += 1
        counter = EnergyCounter(energy[index][1], EnergyMethod.MEASURED, EnergyScope.GPU)
        yield GpuReading(
            gpu=Gpu(uuid="GPU-0", index=0, product="H100", driver="580"),
            at_seconds=at,
            energy=counter,
            quantities={"power_limit_watts": limit_watts},
        )
        at += interval


def test_the_batch_says_the_same_energy_at_gpu_scope(folder: Path):
    """Fields 83 and 191 at GPU scope are the same counter, module scope is refused: the scope rule returns GPU."""
    field = rows(folder)
    total, gpu, module = field[83, 0], field[191, 0], field[191, 1]
    assert total["value"] == gpu["value"]
    assert module["return"] == 3
    assert nearest_scope(total["value"], gpu["value"], module["value"]) is EnergyScope.GPU


@pytest.mark.parametrize("interval", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("phase", PHASES)
def test_no_joule_of_a_real_counter_is_taken_for_a_glitch(folder: Path, phase: str, interval: float):
    """At any interval and load, even at the power limit, the accepted increases add up to the counter's own growth."""
    limit = capture(folder, "identity")["power_limit_milliwatts"] / 1000
    read = list(readings(capture(folder, "changes")["series"][phase]["energy"], limit, interval))
    meter, total = None, 0
    for reading in read:
        grown = energy_increase(meter, reading)
        assert grown is not None
        assert not grown.glitch
        total, meter = total + grown.millijoules, update_meter(meter, reading)
    first, last = read[0].energy, read[-1].energy
    assert first is not None
    assert last is not None
    assert total == last.millijoules - first.millijoules > 0


@pytest.mark.parametrize("phase", PHASES)
def test_integrated_power_agrees_with_the_counter(folder: Path, phase: str):
    """Trapezoids over ten samples a second of the power that goodwatt reads are within 1 % of the counter."""
    series = capture(folder, "changes")["series"][phase]
    energy = series["energy"]
    counted = energy[-1][1] - energy[1][1]
    assert sampled(series["usage"], energy[1][0], energy[-1][0]) == pytest.approx(counted, rel=0.01)


def test_instant_power_misses_what_lies_between_its_samples(folder: Path):
    """Under 50 ms bursts instant power, integrated the same way, is off by more than 5 %: goodwatt does not read it."""
    series = capture(folder, "changes")["series"]["bursts"]
    energy = series["energy"]
    counted = energy[-1][1] - energy[1][1]
    assert abs(sampled(series["instant"], energy[1][0], energy[-1][0]) / counted - 1) > 0.05


def test_throttle_counters_are_nanoseconds(folder: Path):
    """At the power limit the counter of the software power cap grows with the wall clock, in nanoseconds."""
    steady = capture(folder, "changes")["phases"]["steady"]
    nanoseconds = steady["throttle_elapsed_seconds"] * 1e9
    assert steady["throttle_increase"]["74"] == pytest.approx(nanoseconds, rel=0.01)


def test_joules_per_token_agree(folder: Path):
    """Over one load of known tokens goodwatt, Zeus and the counter read by hand are within 1 % of each other."""
    tokens = capture(folder, "tokens")
    assert tokens["tokens_goodwatt"] == tokens["tokens_made"] > 0
    figures = tokens["joules_per_token"]
    assert figures["goodwatt"] == pytest.approx(figures["by_hand"], rel=0.01)
    assert figures["zeus"] == pytest.approx(figures["by_hand"], rel=0.01)
