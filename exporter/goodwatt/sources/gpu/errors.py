"""What NVML's return codes mean to whoever reads a GPU."""

from enum import Enum

from goodwatt.model.gpu_driver import DriverError
from goodwatt.model.source import Reason, SourceUnavailable


class Fault(Enum):
    """What to do after a refused call."""

    UNSUPPORTED = "not supported by this GPU or driver"  # never ask again
    DENIED = "permission denied"
    AGAIN = "buffer too small"  # once more, at once
    LOST = "GPU lost"  # this GPU; the others go on
    GONE = "driver gone"  # close, and open again later
    DEAD = "driver broken"  # only a restart helps
    PASSING = "no answer this time"


_FAULTS = {
    1: Fault.GONE,  # uninitialized
    3: Fault.UNSUPPORTED,
    4: Fault.DENIED,
    7: Fault.AGAIN,
    9: Fault.GONE,  # driver not loaded
    12: Fault.GONE,  # library not found
    13: Fault.UNSUPPORTED,  # the library lacks the function: an older driver
    15: Fault.LOST,
    16: Fault.LOST,  # reset required
    17: Fault.DENIED,  # blocked by the operating system
    18: Fault.DEAD,  # library and kernel module of different versions
    25: Fault.UNSUPPORTED,  # argument version mismatch
    26: Fault.UNSUPPORTED,  # deprecated
    999: Fault.DEAD,
}


def fault_of(error: DriverError) -> Fault:
    """The fault behind a driver's error; codes without a rule of their own are PASSING."""
    return _FAULTS.get(error.code, Fault.PASSING)


def not_opened(error: DriverError) -> SourceUnavailable:
    """Why the driver cannot be opened now, as the frame wants to hear it."""
    match error.code:
        case 12:
            return SourceUnavailable(
                Reason.LIBRARY_MISSING,
                "nvml: libnvidia-ml.so.1 not found; install the NVIDIA driver, in a container start it with the NVIDIA "
                "runtime (--gpus all), or set gpus: {kind: none}",
            )
        case 9:
            return SourceUnavailable(
                Reason.DRIVER_MISSING,
                "nvml: driver not loaded; install or load the NVIDIA driver (nvidia-smi must work), or set "
                "gpus: {kind: none}",
            )
        case 4 | 17:
            return denied(error)
        case 18:
            return SourceUnavailable(
                Reason.DRIVER_ERROR,
                f"nvml: {error}: the driver was updated under its library; reboot the machine or reload the kernel "
                "module, then restart goodwatt",
            )
        case _:
            return SourceUnavailable(
                Reason.DRIVER_ERROR, f"nvml: cannot open the driver: {error}; see whether nvidia-smi works and dmesg"
            )


def denied(error: DriverError) -> SourceUnavailable:
    """Everything was refused for want of permission."""
    return SourceUnavailable(
        Reason.PERMISSION,
        f"nvml: {error}; let this user open /dev/nvidiactl and /dev/nvidia*, in a container also check the device "
        "cgroup",
    )


def gone(error: DriverError) -> SourceUnavailable:
    """The driver went away after it had been opened."""
    reason = Reason.LIBRARY_MISSING if error.code == 12 else Reason.DRIVER_MISSING
    return SourceUnavailable(
        reason, f"nvml: the driver went away: {error}; load it again (nvidia-smi must work), goodwatt then goes on"
    )


def dead(error: DriverError) -> SourceUnavailable:
    """The driver answers nothing any more, and nothing short of a restart has been seen to help."""
    return SourceUnavailable(
        Reason.DRIVER_ERROR,
        f"nvml: every call fails: {error}; only a restart helps: restart goodwatt, and if nvidia-smi fails too reboot "
        "the machine",
    )
