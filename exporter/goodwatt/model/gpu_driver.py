"""What a GPU driver must answer, one method a quantity, in the driver's own integer units.

Every method may raise `DriverError` and nothing else, and may block for ever. All calls come from one thread.
"""

from collections.abc import Sequence
from typing import Protocol

from goodwatt.model.gpu import EnergyScope


class DriverError(Exception):
    """The driver refused one call. `code` is the NVML return code; `message` is the driver's own word for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (NVML code {code})")
        self.code = code
        self.message = message


class GpuDriver(Protocol):
    """A driver of GPUs. `handle` answers an opaque token that stays good until `close`."""

    @property
    def simulated(self) -> bool:
        """True when no hardware stands behind the figures."""
        ...

    def open(self) -> None:
        """Load the driver. Called again after a failure or a `close`."""
        ...

    def close(self) -> None:
        """Let the driver go; every handle dies."""
        ...

    def driver_version(self) -> str:
        """Version of the loaded driver, for instance 570.86.15."""
        ...

    def count(self) -> int:
        """Number of GPUs; indices run from 0 to count - 1 and their order may change between two opens."""
        ...

    def handle(self, index: int) -> object:
        """Token of the GPU at an index."""
        ...

    def uuid(self, handle: object) -> str:
        """Stable identity, for instance GPU-5ad7a0d4-...; the only key that survives a reordering."""
        ...

    def product(self, handle: object) -> str:
        """Product name, for instance NVIDIA H100 80GB HBM3."""
        ...

    def board_serial(self, handle: object) -> str:
        """Serial number of the board; GPUs of one board share it."""
        ...

    def energy_scope(self, handle: object) -> EnergyScope:
        """What `energy_millijoules` covers; `power_milliwatts` covers the GPU wherever the driver tells them apart."""
        ...

    def energy_millijoules(self, handle: object) -> int:
        """Energy since the driver was loaded."""
        ...

    def power_milliwatts(self, handle: object) -> int:
        """Draw now; some products answer an average over the last second."""
        ...

    def power_limit_milliwatts(self, handle: object) -> int:
        """Limit in force now."""
        ...

    def utilization_percent(self, handle: object) -> int:
        """Share of the last sample period in which a kernel ran, 0..100."""
        ...

    def memory_bytes(self, handle: object) -> tuple[int, int]:
        """Used and total device memory."""
        ...

    def temperature_celsius(self, handle: object) -> int:
        """Temperature of the GPU die."""
        ...

    def sm_clock_megahertz(self, handle: object) -> int:
        """Clock of the streaming multiprocessors."""
        ...

    def throttle_reasons_mask(self, handle: object) -> int:
        """Why the clocks are held back now, as the bits of NVML's clock event reasons."""
        ...

    def xid_errors(self, handle: object) -> Sequence[int]:
        """Xid numbers that were reported since the last call, in their order; the first call begins to listen."""
        ...
