"""A GPU driver in plain Python: a few GPUs whose answers and failures a test sets as it goes."""

import threading
from collections import Counter
from dataclasses import dataclass, field

from goodwatt.model.gpu import EnergyScope
from goodwatt.model.gpu_driver import DriverError


class Clock:
    """Time that moves only when a test moves it."""

    def __init__(self, now_seconds: float = 1000.0) -> None:
        self.now_seconds = now_seconds

    def __call__(self) -> float:
        return self.now_seconds

    def advance(self, seconds: float) -> None:
        self.now_seconds += seconds


@dataclass
class FakeGpu:
    """One GPU. `refuse` maps a driver method's name, or "*", to the code that it fails with."""

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
    xids: list[int] = field(default_factory=list)  # that wait to be taken
    refuse: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)


class FakeDriver:
    """`refuse` does for open, close, driver_version, count and handle what FakeGpu.refuse does for one GPU.

    `hang` names a method that blocks until the event is set. `stutter` maps a method to how often it answers code 7
    before it works.
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
        return self._asked("uuid", handle).uuid

    def product(self, handle: object) -> str:
        return self._asked("product", handle).product

    def board_serial(self, handle: object) -> str:
        return self._asked("board_serial", handle).serial

    def energy_scope(self, handle: object) -> EnergyScope:
        return self._asked("energy_scope", handle).scope

    def energy_millijoules(self, handle: object) -> int:
        return self._asked("energy_millijoules", handle).millijoules

    def power_milliwatts(self, handle: object) -> int:
        return self._asked("power_milliwatts", handle).milliwatts

    def power_limit_milliwatts(self, handle: object) -> int:
        return self._asked("power_limit_milliwatts", handle).limit_milliwatts

    def utilization_percent(self, handle: object) -> int:
        return self._asked("utilization_percent", handle).percent

    def memory_bytes(self, handle: object) -> tuple[int, int]:
        return self._asked("memory_bytes", handle).memory

    def temperature_celsius(self, handle: object) -> int:
        return self._asked("temperature_celsius", handle).celsius

    def sm_clock_megahertz(self, handle: object) -> int:
        return self._asked("sm_clock_megahertz", handle).megahertz

    def throttle_reasons_mask(self, handle: object) -> int:
        return self._asked("throttle_reasons_mask", handle).mask

    def xid_errors(self, handle: object) -> list[int]:
        gpu = self._asked("xid_errors", handle)
        waiting, gpu.xids = gpu.xids, []
        return waiting

    def _asked(self, method: str, handle: object) -> FakeGpu:
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
