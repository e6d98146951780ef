"""Simulated GPUs behind the driver contract of `goodwatt.model.gpu_driver`: their draw follows the simulated batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from goodwatt.demo.clocked_engine import LiveEngine
from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import DriverError

PRODUCT = "Simulated H100 80GB HBM3"
DRIVER_VERSION = "0.0.0-simulated"
POWER_LIMIT_MILLIWATTS = 700_000
POWER_CAPPED_MILLIWATTS = 685_000
MEMORY_BYTES = 80 * 1024**3
MEMORY_USED_BYTES = MEMORY_BYTES * 92 // 100  # what an engine reserves at its start
CLOCK_MEGAHERTZ = {"idle": 345, "capped": 1755, "free": 1980}
REASON_BITS = {"idle": 0x1, "capped": 0x4, "free": 0x0}  # NVML's clock event reasons: GPU idle, software power cap
UNINITIALIZED, INVALID_ARGUMENT = 1, 2  # NVML return codes


@dataclass(frozen=True, slots=True)
class SimulatedGpu:
    """One GPU of one simulated server."""

    index: int
    engine: LiveEngine

    @property
    def uuid(self) -> str:
        """Shaped like a real one, and recognisable at a glance."""
        return f"GPU-51300000-0000-4000-8000-{self.index:012d}"


class SimulatedDriver:
    """Answers like a driver of H100s: power and utilization are means of the last second, energy is exact."""

    simulated = True

    def __init__(self, gpus: Sequence[SimulatedGpu]) -> None:
        self._gpus = tuple(gpus)
        self._open = False

    def open(self) -> None:
        """Begin to answer."""
        self._open = True

    def close(self) -> None:
        """Stop answering; until the next `open` every call raises DriverError."""
        self._open = False

    def driver_version(self) -> str:
        """A version that no real driver has."""
        self._require_open()
        return DRIVER_VERSION

    def count(self) -> int:
        """Number of simulated GPUs."""
        self._require_open()
        return len(self._gpus)

    def handle(self, index: int) -> object:
        """The GPU at an index. Raises DriverError where there is none."""
        self._require_open()
        if not 0 <= index < len(self._gpus):
            raise DriverError(INVALID_ARGUMENT, f"no simulated GPU {index}")
        return self._gpus[index]

    def uuid(self, handle: object) -> str:
        """Stable over restarts of the demo."""
        return self._gpu(handle).uuid

    def product(self, handle: object) -> str:
        """The product name, which says that it is simulated."""
        self._gpu(handle)
        return PRODUCT

    def board_serial(self, handle: object) -> str:
        """Every GPU sits on a board of its own."""
        return f"simulated-{self._gpu(handle).index}"

    def energy_scope(self, handle: object) -> EnergyScope:
        """Energy and power cover the GPU alone."""
        self._gpu(handle)
        return EnergyScope.GPU

    def energy_millijoules(self, handle: object) -> int:
        """Exact integral of the power since the simulation began, rounded down."""
        return self._gpu(handle).engine.look(lambda engine: engine.power.millijoules)

    def power_milliwatts(self, handle: object) -> int:
        """Mean draw of the last second."""
        return self._gpu(handle).engine.look(lambda engine: engine.power.mean_milliwatts())

    def power_limit_milliwatts(self, handle: object) -> int:
        """Limit of the board."""
        self._gpu(handle)
        return POWER_LIMIT_MILLIWATTS

    def utilization_percent(self, handle: object) -> int:
        """Share of the last second with work on the GPU."""
        return self._gpu(handle).engine.look(lambda engine: engine.power.busy_percent())

    def memory_bytes(self, handle: object) -> tuple[int, int]:
        """Used and total: the engine holds what it reserved, busy or not."""
        self._gpu(handle)
        return MEMORY_USED_BYTES, MEMORY_BYTES

    def temperature_celsius(self, handle: object) -> int:
        """Follows the mean draw, from about 36 idle to about 68 at the limit."""
        return 30 + self.power_milliwatts(handle) * 55 // 1_000_000

    def sm_clock_megahertz(self, handle: object) -> int:
        """Low when idle, a little held back near the power limit."""
        return CLOCK_MEGAHERTZ[self._gait(handle)]

    def throttle_reasons_mask(self, handle: object) -> int:
        """Idle, power cap or nothing."""
        return REASON_BITS[self._gait(handle)]

    def xid_errors(self, handle: object) -> Sequence[int]:
        """Simulated GPUs have none."""
        self._gpu(handle)
        return ()

    def _gait(self, handle: object) -> str:
        if self.utilization_percent(handle) == 0:
            return "idle"
        return "capped" if self.power_milliwatts(handle) >= POWER_CAPPED_MILLIWATTS else "free"

    def _gpu(self, handle: object) -> SimulatedGpu:
        self._require_open()
        if not isinstance(handle, SimulatedGpu):
            raise DriverError(INVALID_ARGUMENT, "not a handle of a simulated GPU")
        return handle

    def _require_open(self) -> None:
        if not self._open:
            raise DriverError(UNINITIALIZED, "the simulated driver is not open")
