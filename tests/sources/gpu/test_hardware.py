"""Tests that need an NVIDIA GPU. They only read; they never change a clock, a limit or a mode."""

import asyncio

import pytest

from goodwatt.model.gpu import EnergyMethod, GpuState
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.source import gpu_source

pytestmark = pytest.mark.gpu


async def test_every_gpu_of_this_machine_answers():
    """Every GPU of this machine is OK, with an identity, and power, memory and temperature in a physical range."""
    source = gpu_source(GpusSection())
    assert source is not None
    answer = await source.read()
    assert answer.gpus
    assert not answer.simulated
    for reading in answer.gpus:
        assert reading.state is GpuState.OK
        assert reading.gpu.uuid.startswith("GPU-")
        assert reading.power_watts is not None
        assert 1 < reading.power_watts < 3000
        assert reading.memory_used_bytes is not None
        assert reading.memory_total_bytes is not None
        assert 0 <= reading.memory_used_bytes <= reading.memory_total_bytes
        assert reading.temperature_celsius is not None
        assert 0 < reading.temperature_celsius < 120
    await source.aclose()


async def test_the_counter_agrees_with_the_power():
    """Over 5 s under any load, each counter's increase matches the mean sampled power within 25 %."""
    source = gpu_source(GpusSection())
    assert source is not None
    readings = []
    for _ in range(26):
        readings.append((await source.read()).gpus)
        await asyncio.sleep(0.2)
    for series in zip(*readings, strict=True):
        first, last = series[0], series[-1]
        assert first.energy is not None
        assert last.energy is not None
        if first.energy.method is not EnergyMethod.MEASURED:
            continue
        watts = sum(reading.power_watts or 0.0 for reading in series) / len(series)
        joules = (last.energy.millijoules - first.energy.millijoules) / 1000
        assert joules / (last.at_seconds - first.at_seconds) == pytest.approx(watts, rel=0.25)
    await source.aclose()
