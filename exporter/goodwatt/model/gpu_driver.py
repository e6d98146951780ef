"""The interface to a GPU driver. Answers are in the driver's own integer units.

Every method may raise `DriverError` and nothing else, and may block indefinitely. All calls come from one thread.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_quantities import DriverCall

NOT_SUPPORTED = 3  # NVML_ERROR_NOT_SUPPORTED: what a driver raises for a call that it does not know


class DriverError(Exception):
    """The driver refused one call. `code` is the NVML return code; `message` is the driver's own text for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} (NVML code {code})")
        self.code = code
        self.message = message


class GpuDriver(Protocol):
    """A GPU driver. Handles from `handle` are opaque and valid until `close`."""

    @property
    def simulated(self) -> bool:
        """Whether the figures are simulated instead of read from hardware."""
        ...

    def open(self) -> None:
        """Load the driver. Called again after a failure or a `close`."""
        ...

    def close(self) -> None:
        """Release the driver and invalidate every handle."""
        ...

    def driver_version(self) -> str:
        """Version of the loaded driver, for instance 570.86.15."""
        ...

    def count(self) -> int:
        """Number of GPUs. Indices run from 0 to count - 1; their order may change when the driver is reopened."""
        ...

    def handle(self, index: int) -> object:
        """Handle of the GPU at an index."""
        ...

    def uuid(self, handle: object) -> str:
        """Stable identity, for instance GPU-5ad7a0d4-...; the only key that survives a reordering."""
        ...

    def product(self, handle: object) -> str:
        """Product name, for instance NVIDIA H100 80GB HBM3."""
        ...

    def board_serial(self, handle: object) -> str:
        """Serial number of the board; GPUs on one board share it."""
        ...

    def energy_scope(self, handle: object) -> EnergyScope:
        """What `energy_millijoules` covers. Power covers the GPU alone if the driver distinguishes the two."""
        ...

    def energy_millijoules(self, handle: object) -> int:
        """Energy since the driver was loaded."""
        ...

    def xid_errors(self, handle: object) -> Sequence[int]:
        """Xid numbers reported since the last call, oldest first; the first call starts listening."""
        ...

    def read(self, handle: object, call: DriverCall) -> Any:
        """The call's answer: a number, or an object with the attributes of NVML's structure.

        Raises DriverError with NOT_SUPPORTED for a call that this driver does not know.
        """
        ...
