"""Every GPU quantity that is read and published as it is, one row each: add a row here to read and export another.

The table is in `model` because both ends need it and neither may import the other: sources/gpu asks the driver for each
row's call, publish/metrics derives a metric from each row, and the metric reference is complete without a driver.

Energy, throttle reasons and Xid errors are not rows: energy may be integrated from power, and the other two are not one
number per GPU. They have fields of their own in `GpuReading` and metrics of their own in publish/metrics/gpus.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TEMPERATURE_OF_DIE = 0  # NVML_TEMPERATURE_GPU
CLOCK_OF_SM = 1  # NVML_CLOCK_SM
MEMORY_INFO_V2 = 0x2000028  # nvmlMemory_v2: the size of the structure and its version


@dataclass(frozen=True, slots=True)
class NvmlFunction:
    """An NVML function by its name in the binding, with the arguments that follow the GPU's handle."""

    name: str
    arguments: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NvmlField:
    """A value that `nvmlDeviceGetFieldValues` returns, by field id and scope."""

    field: int
    scope: int = 0


@dataclass(frozen=True, slots=True)
class DriverCall:
    """One question to the driver. `name` is what notes and logs call it, and is unique in the table.

    `newest` is tried first; `older` replaces it until the driver is reopened if the library lacks it.
    The answer is kept for `every_reads` reads.
    """

    name: str
    newest: NvmlFunction | NvmlField
    older: NvmlFunction | None = None
    every_reads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuQuantity:
    """One number per GPU, published as `goodwatt_gpu_<name>`: a counter if the name ends in `_total`, else a gauge.

    `value` picks the number from the call's answer and converts it to the SI `unit`. A value outside `plausible`
    (both ends included) is treated as unknown: drivers return all-ones where they have no figure.
    """

    name: str
    call: DriverCall
    value: Callable[[Any], float] = float
    plausible: tuple[float, float]
    unit: str
    help: str
    stable: bool = False

    def is_plausible(self, value: float) -> bool:
        """Whether a value, in the SI unit, can be a measurement."""
        low, high = self.plausible
        return low <= value <= high


MEMORY = DriverCall(
    "memory",
    NvmlFunction("nvmlDeviceGetMemoryInfo", (MEMORY_INFO_V2,)),  # version 2 does not count the driver's reserve as used
    older=NvmlFunction("nvmlDeviceGetMemoryInfo"),
)
THROTTLE_REASONS = DriverCall(
    "throttle_reasons",
    NvmlFunction("nvmlDeviceGetCurrentClocksEventReasons"),
    older=NvmlFunction("nvmlDeviceGetCurrentClocksThrottleReasons"),  # before driver 535, with the same bits
)

POWER = GpuQuantity(
    name="power_watts",
    call=DriverCall("power", NvmlFunction("nvmlDeviceGetPowerUsage")),  # milliwatts
    value=lambda milliwatts: milliwatts / 1000,
    plausible=(0, 10_000),
    unit="watts",
    help="Power drawn by the GPU.",
    stable=True,
)
POWER_LIMIT = GpuQuantity(
    name="power_limit_watts",
    call=DriverCall("power_limit", NvmlFunction("nvmlDeviceGetEnforcedPowerLimit"), every_reads=12),  # milliwatts
    value=lambda milliwatts: milliwatts / 1000,
    plausible=(0, 10_000),
    unit="watts",
    help="Power limit in force on the GPU.",
    stable=True,
)

GPU_QUANTITIES = (
    POWER,
    POWER_LIMIT,
    GpuQuantity(
        name="utilization_ratio",
        call=DriverCall("utilization", NvmlFunction("nvmlDeviceGetUtilizationRates")),  # percent
        value=lambda rates: rates.gpu / 100,
        plausible=(0, 1),
        unit="ratio",
        help="Share of the driver's last sample period in which any kernel ran on the GPU.",
        stable=True,
    ),
    GpuQuantity(
        name="memory_used_bytes",
        call=MEMORY,
        value=lambda memory: int(memory.used),
        plausible=(0, 2**50),
        unit="bytes",
        help="Device memory in use.",
        stable=True,
    ),
    GpuQuantity(
        name="memory_total_bytes",
        call=MEMORY,
        value=lambda memory: int(memory.total),
        plausible=(0, 2**50),
        unit="bytes",
        help="Device memory that the GPU has.",
        stable=True,
    ),
    GpuQuantity(
        name="temperature_celsius",
        call=DriverCall("temperature", NvmlFunction("nvmlDeviceGetTemperature", (TEMPERATURE_OF_DIE,))),
        plausible=(-50, 150),
        unit="celsius",
        help="Temperature of the GPU die.",
        stable=True,
    ),
    GpuQuantity(
        name="sm_clock_hertz",
        call=DriverCall("sm_clock", NvmlFunction("nvmlDeviceGetClockInfo", (CLOCK_OF_SM,))),  # megahertz
        value=lambda megahertz: megahertz * 1e6,
        plausible=(0, 10e9),
        unit="hertz",
        help="Clock of the GPU's streaming multiprocessors.",
        stable=True,
    ),
)
