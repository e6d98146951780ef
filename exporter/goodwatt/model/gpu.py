"""What a GPU is and what one read of it gives. Units are in the names; None means unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EnergyMethod(StrEnum):
    """How joules were obtained."""

    MEASURED = "measured"  # the driver's own energy counter
    INTEGRATED = "integrated"  # trapezoids over sampled power


class EnergyScope(StrEnum):
    """What the joules cover, as far as the driver says."""

    GPU = "gpu"
    MODULE = "module"  # a superchip board: CPU, memory and every GPU on it share the figure


class GpuState(StrEnum):
    """Whether the driver can still reach the GPU. LOST keeps the identity and stops the energy."""

    OK = "ok"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Identity of one physical GPU. `uuid` is the key: the driver's index order is not stable."""

    uuid: str
    index: int
    product: str
    driver: str
    board: str | None = None  # board serial where the driver knows it; GPUs that share it share module-scope energy


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """A cumulative count that may fall only when it restarts at zero. Its unit is the driver's own: millijoules."""

    millijoules: int
    method: EnergyMethod
    scope: EnergyScope = EnergyScope.GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One GPU at one tick. `at_seconds` is monotonic. `energy` is None when it cannot be had (LOST, or unsupported)."""

    gpu: Gpu
    at_seconds: float
    state: GpuState = GpuState.OK
    energy: EnergyCounter | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    utilization_ratio: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_celsius: float | None = None
    sm_clock_hertz: float | None = None
    throttled: Mapping[str, bool] | None = None  # reason -> active now; every reason the driver can tell is present
    xid_errors: int | None = None  # since goodwatt began to listen; None where the driver reports none
    last_xid: int | None = None  # None until the first


@dataclass(frozen=True, slots=True)
class GpusReading:
    """Every GPU of one machine at one tick."""

    gpus: tuple[GpuReading, ...]
    simulated: bool = False
    notes: tuple[str, ...] = field(default=())  # one line each: what is missing on which GPU and why
