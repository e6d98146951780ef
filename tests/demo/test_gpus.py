from collections.abc import Callable

import pytest

from goodwatt.demo.gpus import SimulatedDriver, SimulatedGpu
from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import NOT_SUPPORTED, DriverError, GpuDriver
from goodwatt.model.gpu_quantities import GPU_QUANTITIES, THROTTLE_REASONS, DriverCall, NvmlFunction
from tests.demo.builders import HandClock, live, load, spec

CALLS = {call.name: call for call in (*(quantity.call for quantity in GPU_QUANTITIES), THROTTLE_REASONS)}


def opened(requests_per_second: float = 8.0, **changes: object) -> tuple[SimulatedDriver, HandClock, object]:
    clock = HandClock()
    engine = live(spec(load(requests_per_second), **changes), clock)
    driver: GpuDriver = SimulatedDriver([SimulatedGpu(0, engine)])
    driver.open()
    assert isinstance(driver, SimulatedDriver)
    return driver, clock, driver.handle(0)


def test_the_driver_is_marked_as_simulated() -> None:
    """Flag, product, driver version, board and UUID all mark the GPU as simulated."""
    driver, _, gpu = opened()
    assert driver.simulated
    assert driver.product(gpu) == "Simulated H100 80GB HBM3"
    assert driver.uuid(gpu) == "GPU-51300000-0000-4000-8000-000000000000"
    assert "simulated" in driver.driver_version()
    assert "simulated" in driver.board_serial(gpu)
    assert driver.energy_scope(gpu) is EnergyScope.GPU


def test_seconds_of_power_add_up_to_the_energy_counter() -> None:
    """Mean power read once a second adds up to the energy counter, within the rounding of each read."""
    driver, clock, gpu = opened()
    before, sum_of_means = driver.energy_millijoules(gpu), 0
    for _ in range(120):
        clock.forward(1.0)
        sum_of_means += driver.read(gpu, CALLS["power"])
    assert driver.energy_millijoules(gpu) - before == pytest.approx(sum_of_means, abs=121)


def test_the_counter_is_the_engines_exact_integral() -> None:
    """The counter is the simulation's energy in picojoules, rounded down to millijoules."""
    clock = HandClock()
    engine = live(spec(load(8.0)), clock)
    driver = SimulatedDriver([SimulatedGpu(0, engine)])
    driver.open()
    clock.forward(33.3)
    exact = engine.read_now(lambda some: some.power.picojoules)
    assert driver.energy_millijoules(driver.handle(0)) == exact // 10**9 > 0


def test_an_idle_gpu_looks_idle() -> None:
    """Without requests: idle power, no utilization, a low clock, only the idle reason, model still in memory."""
    driver, clock, gpu = opened(0.0001)
    clock.forward(60.0)
    assert driver.read(gpu, CALLS["power"]) == 118_000
    assert driver.read(gpu, CALLS["utilization"]).gpu == 0
    assert driver.read(gpu, CALLS["sm_clock"]) == 345
    assert driver.read(gpu, CALLS["throttle_reasons"]) == 0x1
    assert driver.read(gpu, CALLS["temperature"]) == 36
    used, total = driver.read(gpu, CALLS["memory"])
    assert 0.9 < used / total < 1


def test_a_busy_gpu_looks_busy() -> None:
    """Under load: high power below the limit, full utilization, high clock, no throttle reason, warmer."""
    driver, clock, gpu = opened(8.0)
    clock.forward(60.0)
    assert 450_000 < driver.read(gpu, CALLS["power"]) < driver.read(gpu, CALLS["power_limit"]) == 700_000
    assert driver.read(gpu, CALLS["utilization"]).gpu > 95
    assert driver.read(gpu, CALLS["sm_clock"]) == 1980
    assert driver.read(gpu, CALLS["throttle_reasons"]) == 0
    assert 50 < driver.read(gpu, CALLS["temperature"]) < 70


def test_an_overloaded_gpu_is_power_capped() -> None:
    """At a full batch of 256 the software power cap throttles the clocks."""
    driver, clock, gpu = opened(80.0)
    clock.forward(60.0)
    assert driver.read(gpu, CALLS["throttle_reasons"]) == 0x4
    assert driver.read(gpu, CALLS["sm_clock"]) == 1755


@pytest.mark.parametrize("index", [-1, 1])
def test_an_index_without_a_gpu_is_an_invalid_argument(index: int) -> None:
    """NVML code 2, as from the real driver."""
    driver, _, _ = opened()
    with pytest.raises(DriverError) as refused:
        driver.handle(index)
    assert refused.value.code == 2


DRIVER_CALLS: list[Callable[[SimulatedDriver, object], object]] = [
    lambda driver, _: driver.driver_version(),
    lambda driver, _: driver.count(),
    lambda driver, _: driver.handle(0),
    lambda driver, gpu: driver.uuid(gpu),
    lambda driver, gpu: driver.product(gpu),
    lambda driver, gpu: driver.board_serial(gpu),
    lambda driver, gpu: driver.energy_scope(gpu),
    lambda driver, gpu: driver.energy_millijoules(gpu),
    *(lambda driver, gpu, call=call: driver.read(gpu, call) for call in CALLS.values()),
]


@pytest.mark.parametrize("ask", DRIVER_CALLS)
def test_a_closed_driver_answers_nothing(ask: Callable[[SimulatedDriver, object], object]) -> None:
    """After `close` every call raises NVML code 1; after another `open` it is answered."""
    driver, _, gpu = opened()
    driver.close()
    with pytest.raises(DriverError) as refused:
        ask(driver, gpu)
    assert refused.value.code == 1
    driver.open()
    ask(driver, gpu)


@pytest.mark.parametrize("ask", DRIVER_CALLS[3:])
def test_a_foreign_handle_is_an_invalid_argument(ask: Callable[[SimulatedDriver, object], object]) -> None:
    """A handle from another driver raises NVML code 2."""
    driver, _, _ = opened()
    with pytest.raises(DriverError) as refused:
        ask(driver, object())
    assert refused.value.code == 2


def test_a_call_that_is_not_simulated_is_not_supported() -> None:
    """A quantity that the simulation does not know is refused with NVML code 3, so it is absent from the page."""
    driver, _, gpu = opened()
    with pytest.raises(DriverError) as refused:
        driver.read(gpu, DriverCall("fan_speed", NvmlFunction("nvmlDeviceGetFanSpeed")))
    assert refused.value.code == NOT_SUPPORTED
