"""GPUs and their readings. Units are in the names; None means unknown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EnergyMethod(StrEnum):
    """How energy was obtained."""

    MEASURED = "measured"  # the driver's own energy counter
    INTEGRATED = "integrated"  # trapezoids over sampled power


class EnergyScope(StrEnum):
    """What the energy counter covers, as far as the driver reports it."""

    GPU = "gpu"
    MODULE = "module"  # a superchip board: CPU, memory and all its GPUs share one counter


class GpuState(StrEnum):
    """Whether the driver can still reach the GPU. A LOST GPU keeps its identity and counts no energy."""

    OK = "ok"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Identity of one physical GPU. `uuid` is the key, because the driver's index order may change."""

    uuid: str
    index: int
    product: str
    driver: str
    board: str | None = None  # board serial, if reported; GPUs with the same one share a module-scope counter


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """A cumulative energy counter, in the driver's own unit. It falls only when it restarts at zero."""

    millijoules: int
    method: EnergyMethod
    scope: EnergyScope = EnergyScope.GPU


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One GPU at one tick.

    `at_seconds` is monotonic. `energy` is None if the GPU is lost, has no counter and no power reading, or failed to
    answer this time. `quantities` maps the name of each row of model/gpu_quantities.py to its value in SI units; what
    is unknown has no entry. The properties are the quantities that the fold or the landing page needs by name.
    """

    gpu: Gpu
    at_seconds: float
    state: GpuState = GpuState.OK
    energy: EnergyCounter | None = None
    quantities: Mapping[str, float] = field(default_factory=dict)
    throttled: Mapping[str, bool] | None = None  # every throttle reason -> whether it is active; None: unknown
    xid_errors: int | None = None  # since goodwatt started to listen; None if the driver reports none
    last_xid: int | None = None  # None until the first

    @property
    def power_watts(self) -> float | None:
        """Power draw."""
        return self.quantities.get("power_watts")

    @property
    def power_limit_watts(self) -> float | None:
        """Power limit in force, at most 12 reads old."""
        return self.quantities.get("power_limit_watts")

    @property
    def utilization_ratio(self) -> float | None:
        """Share of the driver's last sample period in which a kernel ran, 0..1."""
        return self.quantities.get("utilization_ratio")

    @property
    def memory_used_bytes(self) -> float | None:
        """Device memory in use, without the driver's own reserve if the driver reports that separately."""
        return self.quantities.get("memory_used_bytes")

    @property
    def memory_total_bytes(self) -> float | None:
        """Device memory installed."""
        return self.quantities.get("memory_total_bytes")

    @property
    def temperature_celsius(self) -> float | None:
        """Temperature of the GPU die."""
        return self.quantities.get("temperature_celsius")


@dataclass(frozen=True, slots=True)
class GpusReading:
    """Every GPU of one machine at one tick. Each of `notes` is one line: what is missing on which GPU, and why."""

    gpus: tuple[GpuReading, ...]
    simulated: bool = False
    notes: tuple[str, ...] = ()
