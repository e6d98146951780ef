"""NVML's return codes: what each means for a read, and what the operator should do."""

from enum import Enum

from goodwatt.model.gpu_driver import DriverError
from goodwatt.model.source import NVML_SOURCE, Reason, SourceUnavailable


class DriverFault(Enum):
    """How to react to a refused call."""

    UNSUPPORTED = "not supported by this GPU or driver"  # never call again
    DENIED = "permission denied"
    RETRY_NOW = "buffer too small"
    GPU_LOST = "GPU lost"  # this GPU only
    DRIVER_GONE = "driver gone"  # close, and reopen later
    NEEDS_RESTART = "driver broken"
    TRANSIENT = "no answer this time"  # call again at the next read


_FAULTS = {
    1: DriverFault.DRIVER_GONE,  # uninitialized
    3: DriverFault.UNSUPPORTED,
    4: DriverFault.DENIED,
    7: DriverFault.RETRY_NOW,
    9: DriverFault.DRIVER_GONE,  # driver not loaded
    12: DriverFault.DRIVER_GONE,  # library not found
    13: DriverFault.UNSUPPORTED,  # the library lacks the function: an older driver
    15: DriverFault.GPU_LOST,
    16: DriverFault.GPU_LOST,  # reset required
    17: DriverFault.DENIED,  # blocked by the operating system
    18: DriverFault.NEEDS_RESTART,  # library and kernel module have different versions
    25: DriverFault.UNSUPPORTED,  # argument version mismatch
    26: DriverFault.UNSUPPORTED,  # deprecated
    999: DriverFault.NEEDS_RESTART,
}


def driver_fault(error: DriverError) -> DriverFault:
    """Return the fault behind a driver's error; any code that is not listed here is TRANSIENT."""
    return _FAULTS.get(error.code, DriverFault.TRANSIENT)


def open_failed(error: DriverError) -> SourceUnavailable:
    """Report that the driver cannot be opened now."""
    match error.code:
        case 12:
            return _unavailable(
                Reason.LIBRARY_MISSING,
                "libnvidia-ml.so.1 not found; install the NVIDIA driver, in a container start it with the NVIDIA "
                "runtime (--gpus all), or set gpus: {kind: none}",
            )
        case 9:
            return _unavailable(
                Reason.DRIVER_MISSING,
                "driver not loaded; install or load the NVIDIA driver (nvidia-smi must work), or set "
                "gpus: {kind: none}",
            )
        case 4 | 17:
            return permission_denied(error)
        case 18:
            return _unavailable(
                Reason.DRIVER_ERROR,
                f"{error}: the driver was updated while its library stayed loaded; reboot the machine or reload the "
                "kernel module, then restart goodwatt",
            )
        case _:
            return _unavailable(
                Reason.DRIVER_ERROR, f"cannot open the driver: {error}; check dmesg and whether nvidia-smi works"
            )


def permission_denied(error: DriverError) -> SourceUnavailable:
    """Report that every call was denied."""
    return _unavailable(
        Reason.PERMISSION,
        f"{error}; let this user open /dev/nvidiactl and /dev/nvidia*, in a container also check the device cgroup",
    )


def driver_gone(error: DriverError) -> SourceUnavailable:
    """Report that an open driver went away."""
    reason = Reason.LIBRARY_MISSING if error.code == 12 else Reason.DRIVER_MISSING
    return _unavailable(
        reason, f"the driver went away: {error}; load it again (nvidia-smi must work), goodwatt then resumes reading"
    )


def restart_needed(error: DriverError) -> SourceUnavailable:
    """Report that every call fails with a fault that only a restart has been seen to fix."""
    return _unavailable(
        Reason.DRIVER_ERROR,
        f"every call fails: {error}; only a restart helps: restart goodwatt, and if nvidia-smi fails too reboot the "
        "machine",
    )


def no_gpus(driver_version: str) -> SourceUnavailable:
    """Report that the driver lists no GPU."""
    return _unavailable(
        Reason.NO_GPUS,
        f"driver {driver_version} is loaded and lists no GPU; in a container pass one in (--gpus all), or set "
        "gpus: {kind: none}",
    )


def _unavailable(reason: Reason, detail: str) -> SourceUnavailable:
    return SourceUnavailable(reason, f"{NVML_SOURCE}: {detail}")
