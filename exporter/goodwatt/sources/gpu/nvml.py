"""The machine's NVIDIA driver. The only module that imports pynvml."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pynvml

from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import DriverError
from goodwatt.model.gpu_quantities import DriverCall, NvmlField, NvmlFunction

P = ParamSpec("P")
T = TypeVar("T")

MOST_XIDS = 64  # taken from one GPU per read
SUPERCHIPS = ("GH200", "GB200", "GB300")  # boards whose energy counter may include CPU and memory
_LIBRARY_TOO_OLD = (13, 25)  # function not found, version mismatch
_CORRUPTED_INFOROM = 14
_TIMEOUT = 10
_ENERGY_FIELD = 191
_SCOPES = (0, 1)  # GPU, module


def _raises_driver_errors(
    method: "Callable[Concatenate[NvmlDriver, P], T]",
) -> "Callable[Concatenate[NvmlDriver, P], T]":
    """Turn the binding's errors into `DriverError`."""

    @wraps(method)
    def call(self: "NvmlDriver", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except pynvml.NVMLError as error:
            raise DriverError(error.value, str(error)) from error
        except UnicodeDecodeError as error:
            raise DriverError(_CORRUPTED_INFOROM, "answer is not text") from error

    return call


class NvmlDriver:
    """Reads GPUs through NVML. Falls back to a call's older function if the library lacks the newest."""

    simulated = False

    def __init__(self) -> None:
        self._listening: dict[int, tuple[object, Any]] = {}  # (handle, event set) by id of the handle
        self._functions: dict[str, Callable[[object], Any]] = {}  # in use, by name of the call
        self._fell_back: set[str] = set()  # calls that use their older function

    @_raises_driver_errors
    def open(self) -> None:
        """Load the library and attach to the driver. A newer library is tried with the newest functions again."""
        self._listening, self._functions, self._fell_back = {}, {}, set()
        pynvml.nvmlInit()

    @_raises_driver_errors
    def close(self) -> None:
        """Detach from the driver."""
        self._stop_listening()
        pynvml.nvmlShutdown()

    @_raises_driver_errors
    def driver_version(self) -> str:
        """Version of the kernel driver."""
        return str(pynvml.nvmlSystemGetDriverVersion())

    @_raises_driver_errors
    def count(self) -> int:
        """Number of GPUs visible to this process."""
        return int(pynvml.nvmlDeviceGetCount())

    @_raises_driver_errors
    def handle(self, index: int) -> object:
        """NVML's own handle."""
        return pynvml.nvmlDeviceGetHandleByIndex(index)

    @_raises_driver_errors
    def uuid(self, handle: object) -> str:
        """NVML's UUID, with its prefix GPU-."""
        return str(pynvml.nvmlDeviceGetUUID(handle))

    @_raises_driver_errors
    def product(self, handle: object) -> str:
        """NVML's product name."""
        return str(pynvml.nvmlDeviceGetName(handle))

    @_raises_driver_errors
    def board_serial(self, handle: object) -> str:
        """Serial number in the board's infoROM; consumer boards have none."""
        return str(pynvml.nvmlDeviceGetSerial(handle))

    @_raises_driver_errors
    def energy_scope(self, handle: object) -> EnergyScope:
        """MODULE for a superchip, unless its driver shows that the counter is the GPU's own."""
        if not any(name in str(pynvml.nvmlDeviceGetName(handle)) for name in SUPERCHIPS):
            return EnergyScope.GPU
        gpu, module = _scoped_energy(handle)
        total = int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return nearest_scope(total, gpu, module)

    @_raises_driver_errors
    def energy_millijoules(self, handle: object) -> int:
        """The hardware counter, since the driver was loaded."""
        return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))

    @_raises_driver_errors
    def xid_errors(self, handle: object) -> Sequence[int]:
        """Xids from the GPU's own event set, so that a GPU without events does not hide those of the others."""
        _, events = self._listening.get(id(handle)) or self._listen(handle)
        return _pending_xids(events)

    def read(self, handle: object, call: DriverCall) -> Any:
        """What the NVML function returns, or the value of the field."""
        function = self._functions.get(call.name)
        if function is None:
            function = self._use(call, call.newest)
        try:
            return function(handle)
        except pynvml.NVMLError as error:
            if call.older is None or call.name in self._fell_back or error.value not in _LIBRARY_TOO_OLD:
                raise DriverError(error.value, str(error)) from error
        self._fell_back.add(call.name)
        self._use(call, call.older)
        return self.read(handle, call)

    def _use(self, call: DriverCall, question: NvmlFunction | NvmlField) -> Callable[[object], Any]:
        self._functions[call.name] = function = _bound(question)
        return function

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


def _pending_xids(events: Any) -> Sequence[int]:
    """Take at most MOST_XIDS pending Xids. Never blocks."""
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
    """Decide which of the two scoped counters the total is: MODULE unless it is shown to be the GPU's own.

    All three are millijoules since the driver was loaded, read within a moment of each other.
    """
    if gpu is None:
        return EnergyScope.MODULE
    slack = total // 100 if module is None else abs(total - module)
    return EnergyScope.GPU if abs(total - gpu) < slack else EnergyScope.MODULE


def _scoped_energy(handle: object) -> tuple[int | None, int | None]:
    """Read the counter at GPU and at module scope, in one call because the two are compared."""
    try:
        values = pynvml.nvmlDeviceGetFieldValues(handle, [(_ENERGY_FIELD, scope) for scope in _SCOPES])
    except pynvml.NVMLError:
        return None, None
    gpu, module = map(_energy_or_none, values)
    return gpu, module


def _energy_or_none(value: Any) -> int | None:
    try:
        return int(_field_value(value))
    except pynvml.NVMLError:
        return None


def _bound(question: NvmlFunction | NvmlField) -> Callable[[object], Any]:
    """Return what takes a handle alone."""
    if isinstance(question, NvmlField):
        wanted = [(question.field, question.scope)]
        return lambda handle: _field_value(pynvml.nvmlDeviceGetFieldValues(handle, wanted)[0])
    function: Callable[..., Any] = getattr(pynvml, question.name)
    arguments = question.arguments
    return (lambda handle: function(handle, *arguments)) if arguments else function


def _field_value(value: Any) -> float:
    """Return the member of the union that the driver filled in. Raises NVMLError if the field was refused."""
    if value.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(value.nvmlReturn)
    member = _UNION_MEMBERS.get(value.valueType)
    if member is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    number: float = getattr(value.value, member)
    return number


_UNION_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}
