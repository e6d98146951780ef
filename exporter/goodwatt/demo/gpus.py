"""Simulated GPUs behind the driver interface of model/gpu_driver.py; their power follows the simulated batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import NOT_SUPPORTED, DriverError
from goodwatt.model.gpu_quantities import DriverCall

PRODUCT = "Simulated H100 80GB HBM3"
DRIVER_VERSION = "0.0.0-simulated"
POWER_LIMIT_MILLIWATTS = 700_000
POWER_CAPPED_MILLIWATTS = 685_000
MEMORY_BYTES = 80 * 1024**3
MEMORY_USED_BYTES = MEMORY_BYTES * 92 // 100  # what an engine reserves when it starts
CLOCK_MEGAHERTZ = {"idle": 345, "capped": 1755, "free": 1980}
THROTTLE_MASKS = {"idle": 0x1, "capped": 0x4, "free": 0x0}  # NVML's clock event reasons: GPU idle, software power cap
UNINITIALIZED, INVALID_ARGUMENT = 1, 2  # NVML return codes


@dataclass(frozen=True, slots=True)
class SimulatedGpu:
    """One GPU of a simulated server, and the engine that loads it."""

    index: int
    engine: ClockedEngine

    @property
    def uuid(self) -> str:
        """In the format of a real UUID, and recognisable as simulated."""
        return f"GPU-51300000-0000-4000-8000-{self.index:012d}"


class SimulatedDriver:
    """Answers like an H100's driver: power and utilization are means over the last second, energy is exact."""

    simulated = True

    def __init__(self, gpus: Sequence[SimulatedGpu]) -> None:
        self._gpus = tuple(gpus)
        self._open = False

    def open(self) -> None:
        """Accept calls until `close`."""
        self._open = True

    def close(self) -> None:
        """Raise DriverError for every call until the next `open`."""
        self._open = False

    def driver_version(self) -> str:
        """A version number that no real driver has."""
        self._require_open()
        return DRIVER_VERSION

    def count(self) -> int:
        """Number of simulated GPUs."""
        self._require_open()
        return len(self._gpus)

    def handle(self, index: int) -> object:
        """The GPU at an index. Raises DriverError if there is none."""
        self._require_open()
        if not 0 <= index < len(self._gpus):
            raise DriverError(INVALID_ARGUMENT, f"no simulated GPU {index}")
        return self._gpus[index]

    def uuid(self, handle: object) -> str:
        """The same after a restart of the demo."""
        return self._gpu(handle).uuid

    def product(self, handle: object) -> str:
        """Product name, which includes the word Simulated."""
        self._gpu(handle)
        return PRODUCT

    def board_serial(self, handle: object) -> str:
        """Every GPU has its own board."""
        return f"simulated-{self._gpu(handle).index}"

    def energy_scope(self, handle: object) -> EnergyScope:
        """Energy and power cover the GPU alone."""
        self._gpu(handle)
        return EnergyScope.GPU

    def energy_millijoules(self, handle: object) -> int:
        """Exact integral of the power since the simulation began, rounded down."""
        return self._gpu(handle).engine.read_now(lambda engine: engine.power.millijoules)

    def xid_errors(self, handle: object) -> Sequence[int]:
        """Simulated GPUs have none."""
        self._gpu(handle)
        return ()

    def read(self, handle: object, call: DriverCall) -> Any:
        """The answer of the simulation, in the shape of NVML's. Raises NOT_SUPPORTED for what is not simulated."""
        gpu = self._gpu(handle)
        answer = _ANSWERS.get(call.name)
        if answer is None:
            raise DriverError(NOT_SUPPORTED, f"{call.name} is not simulated")
        return answer(gpu.engine)

    def _gpu(self, handle: object) -> SimulatedGpu:
        self._require_open()
        if not isinstance(handle, SimulatedGpu):
            raise DriverError(INVALID_ARGUMENT, "not a handle of a simulated GPU")
        return handle

    def _require_open(self) -> None:
        if not self._open:
            raise DriverError(UNINITIALIZED, "the simulated driver is not open")


class Utilization(NamedTuple):
    """The part of NVML's utilization structure that is simulated, in percent."""

    gpu: int


class Memory(NamedTuple):
    """The part of NVML's memory structure that is simulated, in bytes."""

    used: int
    total: int


def _milliwatts(engine: ClockedEngine) -> int:
    return engine.read_now(lambda some: some.power.mean_milliwatts())


def _busy_percent(engine: ClockedEngine) -> int:
    return engine.read_now(lambda some: some.power.busy_percent())


def _celsius(engine: ClockedEngine) -> int:
    """Follow the mean power, from about 36 when idle to about 68 at the limit."""
    return 30 + _milliwatts(engine) * 55 // 1_000_000


def _clock_state(engine: ClockedEngine) -> str:
    """Return the key into CLOCK_MEGAHERTZ and THROTTLE_MASKS."""
    if _busy_percent(engine) == 0:
        return "idle"
    return "capped" if _milliwatts(engine) >= POWER_CAPPED_MILLIWATTS else "free"


_ANSWERS: Mapping[str, Callable[[ClockedEngine], object]] = {
    "power": _milliwatts,
    "power_limit": lambda _: POWER_LIMIT_MILLIWATTS,
    "utilization": lambda engine: Utilization(_busy_percent(engine)),
    "memory": lambda _: Memory(MEMORY_USED_BYTES, MEMORY_BYTES),
    "temperature": _celsius,
    "sm_clock": lambda engine: CLOCK_MEGAHERTZ[_clock_state(engine)],
    "throttle_reasons": lambda engine: THROTTLE_MASKS[_clock_state(engine)],
}
