"""A GPU driver in plain Python. Tests change its answers and failures at any time."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import NOT_SUPPORTED, DriverError
from goodwatt.model.gpu_quantities import DriverCall


class Clock:
    """A clock that only the test advances."""

    def __init__(self, now_seconds: float = 1000.0) -> None:
        self.now_seconds = now_seconds

    def __call__(self) -> float:
        return self.now_seconds

    def advance(self, seconds: float) -> None:
        self.now_seconds += seconds


@dataclass
class FakeGpu:
    """One GPU. `refuse` maps a method of the driver, a DriverCall's name or "*" to the code to fail with."""

    uuid: str
    product: str = "NVIDIA H100 80GB HBM3"
    serial: str = "1650123"
    scope: EnergyScope = EnergyScope.GPU
    millijoules: int = 5_000_000
    milliwatts: int = 400_000
    limit_milliwatts: int = 700_000
    percent: int = 57
    memory: tuple[int, int] = (60 << 30, 80 << 30)
    celsius: int = 61
    megahertz: int = 1755
    mask: int = 0x4
    xids: list[int] = field(default_factory=list)  # pending
    refuse: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


class FakeDriver:
    """A driver of these GPUs. `refuse` is like FakeGpu.refuse, for every GPU and for the driver's own methods.

    `hang` names a method or call that blocks until `released` is set. `stutter` maps a method or call to the number of
    times that it fails with code 7 before it answers.
    """

    simulated = False

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.refuse: dict[str, int] = {}
        self.stutter: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.hang: str | None = None
        self.released = threading.Event()
        self.opened = 0

    def open(self) -> None:
        self._called("open", None)
        self.opened += 1

    def close(self) -> None:
        self._called("close", None)
        self.opened -= 1

    def driver_version(self) -> str:
        self._called("driver_version", None)
        return "570.86.15"

    def count(self) -> int:
        self._called("count", None)
        return len(self.gpus)

    def handle(self, index: int) -> object:
        self._called("handle", self.gpus[index])
        return self.gpus[index]

    def uuid(self, handle: object) -> str:
        return self._called_on("uuid", handle).uuid

    def product(self, handle: object) -> str:
        return self._called_on("product", handle).product

    def board_serial(self, handle: object) -> str:
        return self._called_on("board_serial", handle).serial

    def energy_scope(self, handle: object) -> EnergyScope:
        return self._called_on("energy_scope", handle).scope

    def energy_millijoules(self, handle: object) -> int:
        return self._called_on("energy_millijoules", handle).millijoules

    def xid_errors(self, handle: object) -> list[int]:
        gpu = self._called_on("xid_errors", handle)
        waiting, gpu.xids = gpu.xids, []
        return waiting

    def read(self, handle: object, call: DriverCall) -> Any:
        gpu = self._called_on(call.name, handle)
        answer = ANSWERS.get(call.name)
        if answer is None:
            raise DriverError(NOT_SUPPORTED, "Not Supported")
        return answer(gpu)

    def _called_on(self, method: str, handle: object) -> FakeGpu:
        assert isinstance(handle, FakeGpu)
        self._called(method, handle)
        return handle

    def _called(self, method: str, gpu: FakeGpu | None) -> None:
        self.calls[method] += 1
        if gpu is not None:
            gpu.calls[method] += 1
        if self.hang == method:
            self.released.wait(30)
        if self.stutter.get(method, 0) > 0:
            self.stutter[method] -= 1
            raise DriverError(7, "Insufficient Size")
        refused = {**self.refuse, **(gpu.refuse if gpu else {})}
        code = refused.get(method, refused.get("*"))
        if code is not None:
            raise DriverError(code, f"fake refusal of {method}")


ANSWERS: Mapping[str, Callable[[FakeGpu], object]] = {
    "power": lambda gpu: gpu.milliwatts,
    "power_limit": lambda gpu: gpu.limit_milliwatts,
    "utilization": lambda gpu: SimpleNamespace(gpu=gpu.percent),
    "memory": lambda gpu: SimpleNamespace(used=gpu.memory[0], total=gpu.memory[1]),
    "temperature": lambda gpu: gpu.celsius,
    "sm_clock": lambda gpu: gpu.megahertz,
    "throttle_reasons": lambda gpu: gpu.mask,
}
