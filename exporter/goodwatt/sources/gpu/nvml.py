"""The machine's NVIDIA driver. The only module that knows pynvml."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pynvml

from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import DriverError

P = ParamSpec("P")
T = TypeVar("T")

MOST_XIDS = 64  # of one GPU between two reads
SUPERCHIPS = ("GH200", "GB200", "GB300")  # boards whose energy counter may cover CPU and memory too
_FUNCTION_NOT_FOUND = 13
_VERSION_MISMATCH = 25
_CORRUPTED_INFOROM = 14
_TIMEOUT = 10
_FIELD_ENERGY = 191
_SCOPES = (0, 1)  # GPU, module


def _refusals(
    method: "Callable[Concatenate[NvmlDriver, P], T]",
) -> "Callable[Concatenate[NvmlDriver, P], T]":
    """Say the binding's errors in the words of `DriverError`."""

    @wraps(method)
    def asked(self: "NvmlDriver", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except pynvml.NVMLError as error:
            raise DriverError(error.value, str(error)) from error
        except UnicodeDecodeError as error:
            raise DriverError(_CORRUPTED_INFOROM, "answer is not text") from error

    return asked


class NvmlDriver:
    """Answers over NVML, one call a quantity. Where the library is too old for a call, the older one is used."""

    simulated = False

    def __init__(self) -> None:
        self._memory_version: int | None
        self._reasons: Callable[[object], Any]
        self._listening: dict[int, tuple[object, Any]] = {}  # event sets, by the id of the handle beside each
        self._prefer_newest()

    @_refusals
    def open(self) -> None:
        """Load the library and attach to the driver."""
        self._listening = {}
        self._prefer_newest()
        pynvml.nvmlInit()

    @_refusals
    def close(self) -> None:
        """Detach from the driver."""
        self._stop_listening()
        pynvml.nvmlShutdown()

    @_refusals
    def driver_version(self) -> str:
        """Version of the kernel driver."""
        return str(pynvml.nvmlSystemGetDriverVersion())

    @_refusals
    def count(self) -> int:
        """GPUs that this process may see."""
        return int(pynvml.nvmlDeviceGetCount())

    @_refusals
    def handle(self, index: int) -> object:
        """NVML's own handle."""
        return pynvml.nvmlDeviceGetHandleByIndex(index)

    @_refusals
    def uuid(self, handle: object) -> str:
        """NVML's UUID, with its prefix GPU-."""
        return str(pynvml.nvmlDeviceGetUUID(handle))

    @_refusals
    def product(self, handle: object) -> str:
        """NVML's product name."""
        return str(pynvml.nvmlDeviceGetName(handle))

    @_refusals
    def board_serial(self, handle: object) -> str:
        """Serial number in the board's infoROM; consumer boards have none."""
        return str(pynvml.nvmlDeviceGetSerial(handle))

    @_refusals
    def energy_scope(self, handle: object) -> EnergyScope:
        """MODULE for a superchip, unless its driver shows that the counter is the GPU's own."""
        if not any(name in str(pynvml.nvmlDeviceGetName(handle)) for name in SUPERCHIPS):
            return EnergyScope.GPU
        gpu, module = _energy_fields(handle)
        total = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return nearest_scope(total, gpu, module)

    @_refusals
    def energy_millijoules(self, handle: object) -> int:
        """The hardware counter, since the driver was loaded."""
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    @_refusals
    def power_milliwatts(self, handle: object) -> int:
        """Instantaneous up to GA100, the mean of the last second on other GPUs since Ampere."""
        return int(pynvml.nvmlDeviceGetPowerUsage(handle))

    @_refusals
    def power_limit_milliwatts(self, handle: object) -> int:
        """The lowest of all limits in force."""
        return int(pynvml.nvmlDeviceGetEnforcedPowerLimit(handle))

    @_refusals
    def utilization_percent(self, handle: object) -> int:
        """Share of the last sample period in which a kernel ran."""
        return int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)

    @_refusals
    def memory_bytes(self, handle: object) -> tuple[int, int]:
        """Used, without what the driver reserves where it tells them apart, and total."""
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=self._memory_version)
        except pynvml.NVMLError as error:
            if self._memory_version is None or error.value not in (_FUNCTION_NOT_FOUND, _VERSION_MISMATCH):
                raise
            self._memory_version = None
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.used), int(memory.total)

    @_refusals
    def temperature_celsius(self, handle: object) -> int:
        """Of the GPU die."""
        return int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))

    @_refusals
    def sm_clock_megahertz(self, handle: object) -> int:
        """Current clock of the SM domain."""
        return int(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM))

    @_refusals
    def throttle_reasons_mask(self, handle: object) -> int:
        """The clock event reasons; drivers before 535 know them as throttle reasons, with the same bits."""
        try:
            return int(self._reasons(handle))
        except pynvml.NVMLError as error:
            older = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons
            if error.value != _FUNCTION_NOT_FOUND or self._reasons is older:
                raise
            self._reasons = older
            return int(older(handle))

    @_refusals
    def xid_errors(self, handle: object) -> Sequence[int]:
        """From an event set of the GPU's own, so that one GPU which cannot be listened to hides no other."""
        _, events = self._listening.get(id(handle)) or self._listen(handle)
        return _waiting(events)

    def _listen(self, handle: object) -> tuple[object, Any]:
        events = pynvml.nvmlEventSetCreate()
        try:
            pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, events)
        except pynvml.NVMLError:
            pynvml.nvmlEventSetFree(events)
            raise
        self._listening[id(handle)] = handle, events
        return handle, events

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, {}
        for _, events in listening.values():
            with suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(events)

    def _prefer_newest(self) -> None:
        self._memory_version = pynvml.nvmlMemory_v2
        self._reasons = pynvml.nvmlDeviceGetCurrentClocksEventReasons


def _waiting(events: Any) -> Sequence[int]:
    """Xids that wait to be taken, MOST_XIDS at most. Never blocks."""
    taken: list[int] = []
    while len(taken) < MOST_XIDS:
        try:
            taken.append(int(pynvml.nvmlEventSetWait_v2(events, 0).eventData))
        except pynvml.NVMLError as error:
            if error.value != _TIMEOUT and not taken:
                raise
            break
    return taken


def nearest_scope(total: int, gpu: int | None, module: int | None) -> EnergyScope:
    """Which of the two scoped counters the total is. MODULE unless the driver shows it to be the GPU's own.

    All three are millijoules since the driver was loaded, read within a moment of each other.
    """
    if gpu is None:
        return EnergyScope.MODULE
    slack = total // 100 if module is None else abs(total - module)
    return EnergyScope.GPU if abs(total - gpu) < slack else EnergyScope.MODULE


def _energy_fields(handle: object) -> Sequence[int | None]:
    try:
        values = pynvml.nvmlDeviceGetFieldValues(handle, [(_FIELD_ENERGY, scope) for scope in _SCOPES])
    except pynvml.NVMLError:
        return (None, None)
    return [_field(value) for value in values]


def _field(value: Any) -> int | None:
    """The member of the union that the driver says it filled in."""
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    members = {1: value.value.uiVal, 2: value.value.ulVal, 3: value.value.ullVal}
    return members.get(value.valueType)
