"""One GPU of an opened driver: what it can be asked, what it refused for good, and where its joules come from."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from goodwatt.derive.energy.power_integral import PowerIntegral, extend_integral
from goodwatt.model.gpu import EnergyCounter, EnergyMethod, EnergyScope, Gpu, GpuReading, GpuState
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.sources.gpu.errors import Fault, fault_of

log = logging.getLogger(__name__)
T = TypeVar("T")

LIMIT_EVERY_READS = 12
THROTTLE_REASONS = MappingProxyType(
    {
        "applications_clocks_setting": 0x2,
        "sw_power_cap": 0x4,
        "hw_slowdown": 0x8,
        "sync_boost": 0x10,
        "sw_thermal_slowdown": 0x20,
        "hw_thermal_slowdown": 0x40,
        "hw_power_brake_slowdown": 0x80,
    }
)
_WHOLE_DRIVER = frozenset({Fault.LOST, Fault.GONE})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One quantity that could not be had at the last asking."""

    fault: Fault
    error: DriverError


@dataclass(frozen=True, slots=True)
class Xids:
    """How many Xid errors were heard of; None while nothing could be listened to."""

    errors: int | None = None
    last: int | None = None

    def heard(self, new: Sequence[int]) -> "Xids":
        """With these added."""
        return Xids((self.errors or 0) + len(new), new[-1] if new else self.last)


class Card:
    """Asks one GPU. Lives on the lane's thread, from one open of the driver to the next.

    What was counted of the GPU before goes on from `former`.
    """

    def __init__(self, driver: GpuDriver, handle: object, gpu: Gpu, former: "Card | None" = None) -> None:
        self.gpu = gpu
        self.integral: PowerIntegral = former.integral if former else PowerIntegral()
        self.xids: Xids = former.xids if former else Xids()
        self.refusals: dict[str, Refusal] = {}
        self.method: EnergyMethod | None = None
        self.lost = False
        self.answers = 0  # since the last read began
        self._driver = driver
        self._handle = handle
        self._scope = EnergyScope.GPU
        self._undecided = True
        self._limit_milliwatts: int | None = None
        self._reads = 0

    @property
    def integrates(self) -> bool:
        """Whether this GPU's joules come from sampled power."""
        return self.method is EnergyMethod.INTEGRATED

    def read(self, clock: Callable[[], float]) -> GpuReading:
        """Everything this GPU answers now. Raises DriverError only when the whole driver is gone."""
        self.answers = 0
        try:
            reading = self._read(clock)
        except DriverError as error:
            if fault_of(error) is not Fault.LOST:
                raise
            self._mark_lost(error)
            return self.absent(clock)
        self._mark_found()
        self._reads += 1
        return reading

    def absent(self, clock: Callable[[], float]) -> GpuReading:
        """A reading of a GPU that does not answer: who it is, and the errors that it told of before."""
        return GpuReading(
            gpu=self.gpu, at_seconds=clock(), state=GpuState.LOST, xid_errors=self.xids.errors, last_xid=self.xids.last
        )

    def sample(self, at_seconds: float) -> int | None:
        """Milliwatts now; where the energy is integrated, the sample is counted as of `at_seconds`."""
        milliwatts = self._ask("power", self._driver.power_milliwatts)
        if milliwatts is not None and self.integrates:
            self.integral = extend_integral(self.integral, at_seconds, milliwatts)
        return milliwatts

    def notes(self) -> tuple[str, ...]:
        """One line for each thing that is missing or second best on this GPU."""
        if not self.refusals and not self.integrates:
            return ()
        gpu = f"gpu {self.gpu.index} ({self.gpu.uuid})"
        ladder = (f"{gpu}: energy: integrated from sampled power, {self.integral.gaps} gaps left out",)
        refused = tuple(
            f"{gpu}: {name}: {refusal.fault.value}: {refusal.error}" for name, refusal in self.refusals.items()
        )
        return (ladder if self.integrates else ()) + refused

    def _read(self, clock: Callable[[], float]) -> GpuReading:
        driver, ask = self._driver, self._ask
        counted = self._counted()
        at_seconds = clock()
        milliwatts = self.sample(at_seconds)
        if self._undecided:
            self._decide(counted, milliwatts, at_seconds)
        used, total = ask("memory", driver.memory_bytes) or (None, None)
        percent = ask("utilization", driver.utilization_percent)
        megahertz = ask("sm_clock", driver.sm_clock_megahertz)
        mask = ask("throttle_reasons", driver.throttle_reasons_mask)
        limit = self._limit()
        self._listen()
        return GpuReading(
            gpu=self.gpu,
            at_seconds=at_seconds,
            energy=self._energy(counted),
            power_watts=_divided(milliwatts, 1000),
            power_limit_watts=_divided(limit, 1000),
            utilization_ratio=_divided(percent, 100),
            memory_used_bytes=used,
            memory_total_bytes=total,
            temperature_celsius=_divided(ask("temperature", driver.temperature_celsius), 1),
            sm_clock_hertz=None if megahertz is None else megahertz * 1e6,
            throttled=None if mask is None else {name: bool(mask & bit) for name, bit in THROTTLE_REASONS.items()},
            xid_errors=self.xids.errors,
            last_xid=self.xids.last,
        )

    def _counted(self) -> int | None:
        if self._undecided or self.method is EnergyMethod.MEASURED:
            return self._ask("energy", self._driver.energy_millijoules)
        return None

    def _energy(self, counted: int | None) -> EnergyCounter | None:
        if self.method is EnergyMethod.MEASURED and counted is not None:
            return EnergyCounter(counted, EnergyMethod.MEASURED, self._scope)
        if self.method is EnergyMethod.INTEGRATED:
            return EnergyCounter(self.integral.millijoules, EnergyMethod.INTEGRATED)
        return None

    def _decide(self, counted: int | None, milliwatts: int | None, at_seconds: float) -> None:
        """Choose the step of the energy ladder, once, as soon as the driver has given a clear answer."""
        if counted is not None:
            self._choose(EnergyMethod.MEASURED, "the driver's energy counter")
            self._scope = self._ask("energy_scope", self._driver.energy_scope) or EnergyScope.GPU
        elif self._fault("energy") not in (Fault.UNSUPPORTED, Fault.DENIED):
            return
        elif milliwatts is not None:
            self._choose(EnergyMethod.INTEGRATED, "sampled power, because the driver gives no energy counter")
            self.integral = extend_integral(self.integral, at_seconds, milliwatts)
        elif self._fault("energy") is self._fault("power") is Fault.UNSUPPORTED:
            self._choose(None, "nothing: the driver gives neither an energy counter nor power")

    def _choose(self, method: EnergyMethod | None, why: str) -> None:
        self.method = method
        self._undecided = False
        log.info("nvml: gpu %d (%s, %s): joules come from %s", self.gpu.index, self.gpu.uuid, self.gpu.product, why)

    def _fault(self, quantity: str) -> Fault | None:
        refusal = self.refusals.get(quantity)
        return refusal.fault if refusal else None

    def _limit(self) -> int | None:
        if self._limit_milliwatts is None or self._reads % LIMIT_EVERY_READS == 0:
            self._limit_milliwatts = self._ask("power_limit", self._driver.power_limit_milliwatts)
        return self._limit_milliwatts

    def _listen(self) -> None:
        """Take the Xids that came. To be heard is no answer of the GPU: a dead driver's event sets go on working."""
        heard = self._try("xid_errors", self._driver.xid_errors)
        if heard is not None:
            self.xids = self.xids.heard(heard)
        for xid in heard or ():
            log.warning("nvml: gpu %d (%s): Xid %d; see dmesg and NVIDIA's list", self.gpu.index, self.gpu.uuid, xid)

    def _ask(self, quantity: str, method: Callable[[object], T]) -> T | None:
        answer = self._try(quantity, method)
        self.answers += answer is not None
        return answer

    def _try(self, quantity: str, method: Callable[[object], T]) -> T | None:
        refusal = self.refusals.get(quantity)
        if refusal is not None and refusal.fault is Fault.UNSUPPORTED:
            return None
        try:
            answer = self._twice(method)
        except DriverError as error:
            self._refused(quantity, error)
            return None
        if refusal is not None:
            del self.refusals[quantity]
        return answer

    def _twice(self, method: Callable[[object], T]) -> T:
        try:
            return method(self._handle)
        except DriverError as error:
            if fault_of(error) is not Fault.AGAIN:
                raise
            return method(self._handle)

    def _refused(self, quantity: str, error: DriverError) -> None:
        fault = fault_of(error)
        if fault in _WHOLE_DRIVER:
            raise error
        if quantity not in self.refusals:
            log.debug("nvml: gpu %d (%s): %s: %s", self.gpu.index, self.gpu.uuid, quantity, error)
        self.refusals[quantity] = Refusal(fault, error)

    def _mark_lost(self, error: DriverError) -> None:
        if not self.lost:
            log.warning(
                "nvml: gpu %d (%s) is lost: %s; its joules stop here; see dmesg for its Xid, then reset or reseat it",
                self.gpu.index,
                self.gpu.uuid,
                error,
            )
            with suppress(DriverError):  # the Xid that tells why may be waiting
                self._listen()
        self.lost = True

    def _mark_found(self) -> None:
        if self.lost:
            log.info("nvml: gpu %d (%s) is back", self.gpu.index, self.gpu.uuid)
        self.lost = False


def _divided(value: int | None, divisor: int) -> float | None:
    return None if value is None else value / divisor
