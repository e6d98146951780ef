"""The GPU source over the fake driver: what a reading contains, and where its energy comes from."""

import asyncio
import logging

import pynvml
import pytest

from goodwatt.model.gpu import EnergyCounter, EnergyMethod, EnergyScope, Gpu, GpuReading, GpuState
from goodwatt.model.gpu_quantities import (
    CLOCK_OF_SM,
    GPU_QUANTITIES,
    MEMORY_INFO_V2,
    TEMPERATURE_OF_DIE,
    THROTTLE_REASONS,
    NvmlFunction,
)
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.nvml import NvmlDriver
from goodwatt.sources.gpu.source import GpuSource, gpu_source
from tests.fakes.fake_driver import ANSWERS, Clock, FakeDriver, FakeGpu
from tests.fakes.waiting import soon

A, B, C = "GPU-aaaa", "GPU-bbbb", "GPU-cccc"


async def reading_of(source):
    """Read once and return the readings by UUID."""
    answer = await source.read()
    return {reading.gpu.uuid: reading for reading in answer.gpus}


async def test_a_reading_is_in_si_units():
    """A reading carries every quantity in SI units, and energy as the counter's own whole millijoules."""
    clock, driver = Clock(), FakeDriver(FakeGpu(A))
    (reading,) = (await GpuSource(driver, clock).read()).gpus
    assert reading == GpuReading(
        gpu=Gpu(uuid=A, index=0, product="NVIDIA H100 80GB HBM3", driver="570.86.15", board="1650123"),
        at_seconds=1000.0,
        energy=EnergyCounter(5_000_000, EnergyMethod.MEASURED, EnergyScope.GPU),
        quantities={
            "power_watts": 400.0,
            "power_limit_watts": 700.0,
            "utilization_ratio": 0.57,
            "memory_used_bytes": 60 << 30,
            "memory_total_bytes": 80 << 30,
            "temperature_celsius": 61.0,
            "sm_clock_hertz": 1.755e9,
        },
        throttled={
            "applications_clocks_setting": False,
            "sw_power_cap": True,
            "hw_slowdown": False,
            "sync_boost": False,
            "sw_thermal_slowdown": False,
            "hw_thermal_slowdown": False,
            "hw_power_brake_slowdown": False,
        },
        xid_errors=0,
    )


async def test_a_whole_machine_has_no_notes():
    """If nothing is missing there are no notes, and the reading passes on whether the driver is simulated."""
    driver = FakeDriver(FakeGpu(A), FakeGpu(B))
    first = await GpuSource(driver, Clock()).read()
    assert (len(first.gpus), first.notes, first.simulated) == (2, (), False)
    driver.simulated = True
    assert (await GpuSource(driver, Clock()).read()).simulated


async def test_constants_are_read_once_per_open():
    """UUID, product, board and scope are read at open only, and the power limit at every 12th read."""
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    for _ in range(24):
        await source.read()
    once = ("uuid", "product", "board_serial", "energy_scope")
    assert [gpu.calls[name] for name in once] == [1, 1, 1, 1]
    assert (gpu.calls["power_limit"], gpu.calls["energy_millijoules"]) == (2, 24)


async def test_a_new_power_limit_is_seen_within_twelve_reads():
    """A power limit changed while running shows after at most twelve reads."""
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    gpu.limit_milliwatts = 500_000
    limits = [(await reading_of(source))[A].power_limit_watts for _ in range(12)]
    assert limits == [700.0] * 11 + [500.0]


@pytest.mark.parametrize("step", [-4_000_000, 10**12])
async def test_resets_and_glitches_are_passed_on(step):
    """A counter that falls or jumps is passed on unchanged; the ledger handles resets and glitches."""
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    gpu.millijoules += step
    assert (await reading_of(source))[A].energy == EnergyCounter(5_000_000 + step, EnergyMethod.MEASURED)


async def test_a_superchips_energy_has_module_scope():
    """Energy that covers a whole module is marked with module scope."""
    source = GpuSource(FakeDriver(FakeGpu(A, product="NVIDIA GH200 480GB", scope=EnergyScope.MODULE)), Clock())
    energy = (await reading_of(source))[A].energy
    assert energy is not None
    assert energy.scope is EnergyScope.MODULE


async def test_without_a_counter_energy_is_integrated():
    """A GPU without an energy counter integrates sampled power; the reading and the notes both report it."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(gpu), clock)
    assert (await reading_of(source))[A].energy == EnergyCounter(0, EnergyMethod.INTEGRATED)
    clock.advance(2.0)
    answer = await source.read()
    assert answer.gpus[0].energy == EnergyCounter(800_000, EnergyMethod.INTEGRATED)
    assert answer.notes[0] == f"gpu 0 ({A}): energy: integrated from sampled power, 0 gaps left out"
    await source.aclose()


async def test_a_gap_in_the_samples_adds_nothing_and_is_noted():
    """More than 3 s without a sample adds no energy, and the notes count the gap."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(gpu), clock)
    await source.read()
    gpu.refuse["power"] = 10
    await source.read()
    clock.advance(3.5)
    await source.read()
    del gpu.refuse["power"]
    answer = await source.read()
    assert answer.gpus[0].energy == EnergyCounter(0, EnergyMethod.INTEGRATED)
    assert "1 gaps left out" in answer.notes[0]
    await source.aclose()


async def test_power_is_sampled_between_reads_only_where_needed():
    """Between reads, power is sampled at 5 Hz or faster on GPUs that integrate it, and never on others."""
    counted, sampled = FakeGpu(A), FakeGpu(B, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(counted, sampled))
    await source.read()
    await asyncio.sleep(1.0)
    assert counted.calls["power"] == 1
    assert sampled.calls["power"] >= 6
    await source.aclose()


async def test_neither_counter_nor_power():
    """A GPU with neither counter nor power has no energy (None, and noted), and the calls are not repeated."""
    gpu = FakeGpu(A, refuse={"energy_millijoules": 13, "power": 3})
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    answer = await source.read()
    assert (answer.gpus[0].energy, answer.gpus[0].power_watts) == (None, None)
    assert len(answer.notes) == 2
    assert (gpu.calls["energy_millijoules"], gpu.calls["power"]) == (1, 1)


async def test_the_energy_method_waits_for_a_clear_answer():
    """A counter that fails transiently at first is not ruled out: the method is chosen once it answers."""
    gpu = FakeGpu(A, refuse={"energy_millijoules": 10})
    source = GpuSource(FakeDriver(gpu), Clock())
    assert (await reading_of(source))[A].energy is None
    gpu.refuse.clear()
    energy = (await reading_of(source))[A].energy
    assert energy is not None
    assert energy.method is EnergyMethod.MEASURED


async def test_a_transient_counter_failure_is_a_missing_value():
    """A measured GPU stays measured: a transient failure is a missing value, never a change of method."""
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    gpu.refuse["energy_millijoules"] = 10
    reading = (await reading_of(source))[A]
    assert (reading.energy, reading.power_watts) == (None, 400.0)
    gpu.refuse.clear()
    assert (await reading_of(source))[A].energy == EnergyCounter(5_000_000, EnergyMethod.MEASURED)


async def test_a_lost_gpu_keeps_its_identity():
    """A lost GPU stays in the reading with its identity and no figures, costs one call per read, affects no other."""
    lost, sound = FakeGpu(A), FakeGpu(B)
    source = GpuSource(FakeDriver(lost, sound), Clock())
    before = await reading_of(source)
    lost.refuse["*"] = 15
    await reading_of(source)
    calls = lost.calls.total()
    after = await reading_of(source)
    assert after[A] == GpuReading(gpu=before[A].gpu, at_seconds=1000.0, state=GpuState.LOST, xid_errors=0)
    assert after[B] == before[B]
    assert lost.calls.total() == calls + 1


async def test_xid_errors_are_counted_and_logged(caplog):
    """Every Xid is counted once and logged with its number, including the one that arrives as the GPU is lost."""
    gpu, other = FakeGpu(A), FakeGpu(B)
    source = GpuSource(FakeDriver(gpu, other), Clock())
    await source.read()
    gpu.xids = [31, 13]
    reading = (await reading_of(source))[A]
    assert (reading.xid_errors, reading.last_xid) == (2, 13)
    gpu.xids, gpu.refuse["energy_millijoules"] = [79], 15
    after = await reading_of(source)
    assert (after[A].state, after[A].xid_errors, after[A].last_xid) == (GpuState.LOST, 3, 79)
    assert (after[B].xid_errors, after[B].last_xid) == (0, None)
    logged = [line for line in caplog.messages if "Xid" in line and A in line and "see dmesg and" in line]
    assert [number in line for number, line in zip(("Xid 31", "Xid 13", "Xid 79"), logged, strict=True)] == [True] * 3


async def test_the_xid_count_survives_a_driver_reload():
    """A driver that goes away and comes back does not reset a GPU's Xid count."""
    clock, gpu = Clock(), FakeGpu(A)
    driver = FakeDriver(gpu)
    source = GpuSource(driver, clock)
    await source.read()
    gpu.xids = [48]
    await source.read()
    driver.refuse["*"] = 9
    with pytest.raises(SourceUnavailable):
        await source.read()
    driver.refuse.clear()
    clock.advance(120)
    reading = (await reading_of(source))[A]
    assert (reading.state, reading.xid_errors, reading.last_xid) == (GpuState.OK, 1, 48)


async def test_xid_errors_are_absent_if_the_driver_has_no_events():
    """Without events the count is absent, not 0; and events alone do not make a silent GPU count as answering."""
    gpu = FakeGpu(A, refuse={"xid_errors": 3})
    reading = (await reading_of(GpuSource(FakeDriver(gpu), Clock())))[A]
    assert (reading.xid_errors, reading.last_xid) == (None, None)
    silent = FakeGpu(B)
    silent.refuse = dict.fromkeys(("energy_millijoules", *ANSWERS), 999)
    source = GpuSource(FakeDriver(silent), Clock())
    with pytest.raises(SourceUnavailable) as caught:
        await source.read()
    assert caught.value.reason is Reason.DRIVER_ERROR


async def test_a_lost_gpu_comes_back(caplog):
    """A GPU that answers again is OK with its counter, and each change is logged once."""
    caplog.set_level(logging.INFO)
    gpu = FakeGpu(A)
    source = GpuSource(FakeDriver(gpu), Clock())
    await source.read()
    gpu.refuse["*"] = 15
    await source.read()
    await source.read()
    gpu.refuse.clear()
    reading = (await reading_of(source))[A]
    assert (reading.state, reading.energy) == (GpuState.OK, EnergyCounter(5_000_000, EnergyMethod.MEASURED))
    assert [sum(word in line for line in caplog.messages) for word in ("is lost", "is back", "found")] == [1, 1, 1]


async def test_a_lost_gpu_is_not_sampled():
    """A lost GPU that integrates power adds no energy while it is lost, and continues from its last value."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(gpu), clock)
    await source.read()
    clock.advance(1)
    await source.read()
    gpu.refuse["power"] = 16
    assert (await reading_of(source))[A].energy is None
    calls = gpu.calls["power"]
    await asyncio.sleep(0.3)
    assert gpu.calls["power"] <= calls + 1
    clock.advance(60)
    del gpu.refuse["power"]
    assert (await reading_of(source))[A].energy == EnergyCounter(400_000, EnergyMethod.INTEGRATED)
    await source.aclose()


async def test_identity_survives_a_new_index_order():
    """After a reload in another order each UUID keeps its own figures under its new index."""
    clock, one, two = Clock(), FakeGpu(A, millijoules=1), FakeGpu(B, millijoules=2)
    driver = FakeDriver(one, two)
    source = GpuSource(driver, clock)
    await source.read()
    driver.refuse["*"] = 9
    with pytest.raises(SourceUnavailable):
        await source.read()
    driver.refuse.clear()
    driver.gpus.reverse()
    one.refuse["*"] = two.refuse["*"] = 9
    clock.advance(2)
    with pytest.raises(SourceUnavailable):
        await source.read()
    one.refuse.clear(), two.refuse.clear()
    clock.advance(4)
    after = await reading_of(source)
    assert {uuid: (r.gpu.index, r.energy.millijoules) for uuid, r in after.items()} == {A: (1, 1), B: (0, 2)}


async def test_integrated_energy_survives_a_reload():
    """A driver reload does not reset the integrated energy of a GPU."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(gpu), clock)
    await source.read()
    clock.advance(1)
    await source.read()
    gpu.refuse["memory"] = 9
    with pytest.raises(SourceUnavailable):
        await source.read()
    del gpu.refuse["memory"]
    clock.advance(10)
    assert (await reading_of(source))[A].energy == EnergyCounter(400_000, EnergyMethod.INTEGRATED)
    await source.aclose()


async def test_a_counter_that_appears_with_a_new_driver_is_used():
    """Reopening the driver chooses the energy method again, so a newer driver's counter is used."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 13})
    source = GpuSource(FakeDriver(gpu), clock)
    await source.read()
    gpu.refuse["memory"] = 1
    with pytest.raises(SourceUnavailable):
        await source.read()
    gpu.refuse.clear()
    clock.advance(2)
    assert (await reading_of(source))[A].energy == EnergyCounter(5_000_000, EnergyMethod.MEASURED)


async def test_a_gpu_missing_after_a_reload_is_lost():
    """A GPU that the reloaded driver no longer lists is reported as lost, with a note."""
    clock, driver = Clock(), FakeDriver(FakeGpu(A), FakeGpu(B))
    source = GpuSource(driver, clock)
    await source.read()
    driver.gpus[0].refuse["*"] = 9
    with pytest.raises(SourceUnavailable):
        await source.read()
    del driver.gpus[0]
    clock.advance(2)
    answer = await source.read()
    assert [(r.gpu.uuid, r.state) for r in answer.gpus] == [(B, GpuState.OK), (A, GpuState.LOST)]
    assert answer.notes == (f"gpu 0 ({A}): no longer listed by the driver",)


async def test_a_gpu_that_cannot_be_identified_at_first_joins_later():
    """A GPU that cannot be identified at first is noted, and joins the reading once it can be."""
    late = FakeGpu(A, refuse={"uuid": 15})
    source = GpuSource(FakeDriver(late, FakeGpu(B)), Clock())
    answer = await source.read()
    assert [reading.gpu.uuid for reading in answer.gpus] == [B]
    assert answer.notes == ("gpu 0: cannot be identified: fake refusal of uuid (NVML code 15)",)
    late.refuse.clear()
    seen = [len((await source.read()).gpus) for _ in range(12)]
    assert seen == [1] * 11 + [2]


async def test_missing_names_are_not_fatal():
    """A driver that refuses product, board and version is still read."""
    driver = FakeDriver(FakeGpu(A, refuse={"product": 3, "board_serial": 14}))
    driver.refuse["driver_version"] = 999
    (reading,) = (await GpuSource(driver, Clock()).read()).gpus
    assert reading.gpu == Gpu(uuid=A, index=0, product="unknown", driver="unknown", board=None)


async def test_a_hang_is_wedged_and_passes():
    """After a read that hangs past its deadline, further reads are WEDGED immediately, until the call returns."""
    driver = FakeDriver(FakeGpu(A))
    driver.hang = "power"
    source = GpuSource(driver)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await source.read()
    with pytest.raises(SourceUnavailable) as refused:
        await source.read()
    assert refused.value.reason is Reason.WEDGED
    driver.hang = None
    driver.released.set()
    await soon(lambda: not source._lane.busy)
    assert (await reading_of(source))[A].state is GpuState.OK


async def test_closing_closes_the_driver():
    """aclose closes the driver, and does not fail if it was never opened or refuses to close."""
    driver = FakeDriver(FakeGpu(A))
    source = GpuSource(driver, Clock())
    await source.read()
    await source.aclose()
    assert driver.opened == 0
    driver.refuse["close"] = 1
    await GpuSource(driver, Clock()).aclose()


def test_the_factory_follows_the_section():
    """`none` returns no source; `auto` and `nvml` return one over NVML, or over the given driver."""
    assert gpu_source(GpusSection(kind="none")) is None
    for kind in ("auto", "nvml"):
        source = gpu_source(GpusSection(kind=kind))
        assert source is not None
        assert isinstance(source._driver, NvmlDriver)
        assert (source.id.label, source.deadline_seconds) == ("nvml", 2.0)
    driver = FakeDriver()
    source = gpu_source(GpusSection(), driver)
    assert source is not None
    assert source._driver is driver


async def test_sixty_four_gpus_in_index_order():
    """64 GPUs are returned in index order, each with its own figures."""
    driver = FakeDriver(*(FakeGpu(f"GPU-{n:04}", millijoules=n) for n in range(64)))
    answer = await GpuSource(driver, Clock()).read()
    assert [(r.gpu.index, r.energy.millijoules) for r in answer.gpus] == [(n, n) for n in range(64)]


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"milliwatts": 2**32 - 1}, "power_watts"),
        ({"limit_milliwatts": 2**32 - 1}, "power_limit_watts"),
        ({"percent": 2**32 - 1}, "utilization_ratio"),
        ({"memory": (2**64 - 1, 80 << 30)}, "memory_used_bytes"),
        ({"memory": (60 << 30, 2**64 - 1)}, "memory_total_bytes"),
        ({"celsius": 255}, "temperature_celsius"),
        ({"megahertz": 2**32 - 1}, "sm_clock_hertz"),
    ],
)
async def test_an_implausible_value_is_unknown(change, missing):
    """A value that cannot be a measurement, such as all ones, is absent and noted; every other quantity is kept."""
    whole = (await reading_of(GpuSource(FakeDriver(FakeGpu(A)), Clock())))[A]
    gpu = FakeGpu(A, **change)
    source = GpuSource(FakeDriver(gpu), Clock())
    answer = await source.read()
    assert answer.gpus[0].quantities == {k: v for k, v in whole.quantities.items() if k != missing}
    (note,) = answer.notes
    assert note.startswith(f"gpu 0 ({A}): {missing}: implausible value ")


async def test_an_implausible_power_adds_no_energy():
    """An all-ones power sample is left out of the integrated energy, and the note goes with the next plausible one."""
    clock, gpu = Clock(), FakeGpu(A, refuse={"energy_millijoules": 3})
    source = GpuSource(FakeDriver(gpu), clock)
    await source.read()
    clock.advance(1.0)
    gpu.milliwatts = 2**32 - 1
    answer = await source.read()
    assert answer.gpus[0].energy == EnergyCounter(0, EnergyMethod.INTEGRATED)
    gpu.milliwatts = 400_000
    clock.advance(1.0)
    answer = await source.read()
    assert answer.gpus[0].energy == EnergyCounter(800_000, EnergyMethod.INTEGRATED)
    assert not any("implausible" in note for note in answer.notes)
    await source.aclose()


def test_every_row_names_a_function_of_the_binding():
    """Each call is unique by name and exists in the installed binding, so a misspelt one fails here."""
    calls = {quantity.call for quantity in GPU_QUANTITIES} | {THROTTLE_REASONS}
    assert len({call.name for call in calls}) == len(calls)
    assert len({quantity.name for quantity in GPU_QUANTITIES}) == len(GPU_QUANTITIES)
    functions = [question for call in calls for question in (call.newest, call.older)]
    names = [question.name for question in functions if isinstance(question, NvmlFunction)]
    assert [name for name in names if not hasattr(pynvml, name)] == []
    assert (
        pynvml.nvmlMemory_v2,
        pynvml.NVML_TEMPERATURE_GPU,
        pynvml.NVML_CLOCK_SM,
    ) == (MEMORY_INFO_V2, TEMPERATURE_OF_DIE, CLOCK_OF_SM)
