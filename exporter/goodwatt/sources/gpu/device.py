"""One GPU of an opened driver: what it answers, what it failed to answer and why, and where its energy comes from."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, TypeVar

from goodwatt.derive.energy.power_integral import PowerIntegral, extend_integral
from goodwatt.model.gpu import EnergyCounter, EnergyMethod, EnergyScope, Gpu, GpuReading, GpuState
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.gpu_quantities import GPU_QUANTITIES, POWER, THROTTLE_REASONS, DriverCall, GpuQuantity
from goodwatt.model.source import NVML_SOURCE
from goodwatt.sources.gpu.errors import DriverFault, driver_fault

log = logging.getLogger(__name__)
T = TypeVar("T")

THROTTLE_BITS = MappingProxyType(
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
_WHOLE_DRIVER = frozenset({DriverFault.GPU_LOST, DriverFault.DRIVER_GONE})  # no other call would be answered


def _by_call(quantities: Sequence[GpuQuantity]) -> Mapping[DriverCall, Sequence[GpuQuantity]]:
    """Group the quantities so that those that share a call cost one call."""
    calls = dict.fromkeys(quantity.call for quantity in quantities)
    return {call: tuple(quantity for quantity in quantities if quantity.call == call) for call in calls}


# Power has its own method, because it is also sampled between reads.
_CALLS = tuple(_by_call([quantity for quantity in GPU_QUANTITIES if quantity is not POWER]).items())


@lru_cache(maxsize=64)
def _throttle_flags(mask: int) -> Mapping[str, bool]:
    return {name: bool(mask & bit) for name, bit in THROTTLE_BITS.items()}


@dataclass(frozen=True, slots=True)
class FailedQuantity:
    """A quantity that the driver did not answer when last asked, and why."""

    fault: DriverFault
    error: DriverError


@dataclass(frozen=True, slots=True)
class XidCount:
    """Xid errors reported so far; `errors` is None while the driver reports none to us."""

    errors: int | None = None
    last: int | None = None

    def plus(self, new: Sequence[int]) -> "XidCount":
        """Return the count with these Xids added, oldest first."""
        return XidCount((self.errors or 0) + len(new), new[-1] if new else self.last)


class GpuDevice:
    """Reads one GPU. Lives on the lane's thread, from one open of the driver to the next.

    The integrated energy and the Xid count continue from `former`, the same GPU before the driver was reopened.
    """

    def __init__(self, driver: GpuDriver, handle: object, gpu: Gpu, former: "GpuDevice | None" = None) -> None:
        self.gpu = gpu
        self.integral: PowerIntegral = former.integral if former else PowerIntegral()
        self.xids: XidCount = former.xids if former else XidCount()
        self.failed: dict[str, FailedQuantity] = {}  # by name of the call
        self.method: EnergyMethod | None = None
        self.lost = False
        self.answers = 0  # since the last read began
        self._energy_millijoules = partial(driver.energy_millijoules, handle)
        self._energy_scope = partial(driver.energy_scope, handle)
        self._xid_errors = partial(driver.xid_errors, handle)
        self._power = partial(driver.read, handle, POWER.call)
        self._throttle_reasons = partial(driver.read, handle, THROTTLE_REASONS)
        self._calls = tuple((call, partial(driver.read, handle, call), rows) for call, rows in _CALLS)
        self._scope = EnergyScope.GPU
        self._undecided = True
        self._kept: dict[str, Any] = {}  # answers of calls that are not made at every read
        self._implausible: dict[str, float] = {}  # values of the last read
        self._reads = 0

    @property
    def integrates(self) -> bool:
        """Whether this GPU's energy comes from sampled power."""
        return self.method is EnergyMethod.INTEGRATED

    def read(self, clock: Callable[[], float]) -> GpuReading:
        """Read everything this GPU answers now. Raises DriverError only when the whole driver is gone."""
        self.answers = 0
        try:
            reading = self._read(clock)
        except DriverError as error:
            if driver_fault(error) is not DriverFault.GPU_LOST:
                raise
            self._mark_lost(error)
            return self.absent(clock)
        self._mark_found()
        self._reads += 1
        return reading

    def absent(self, clock: Callable[[], float]) -> GpuReading:
        """Return the reading of a GPU that does not answer: its identity and its Xid count so far."""
        return GpuReading(
            gpu=self.gpu, at_seconds=clock(), state=GpuState.LOST, xid_errors=self.xids.errors, last_xid=self.xids.last
        )

    def sample(self, at_seconds: float) -> int | None:
        """Return the power in milliwatts; if energy is integrated, add the sample to it as of `at_seconds`."""
        milliwatts: int | None = self._ask(POWER.call.name, self._power)
        if milliwatts is None:
            return None
        watts = POWER.value(milliwatts)
        if not POWER.is_plausible(watts):
            self._implausible[POWER.name] = watts
            return None
        if self.integrates:
            self.integral = extend_integral(self.integral, at_seconds, milliwatts)
        return milliwatts

    def notes(self) -> tuple[str, ...]:
        """One line for each quantity that is missing or second best on this GPU."""
        if not self.failed and not self.integrates and not self._implausible:
            return ()
        gpu = f"gpu {self.gpu.index} ({self.gpu.uuid})"
        integrated = (f"{gpu}: energy: integrated from sampled power, {self.integral.gaps} gaps left out",)
        failed = (f"{gpu}: {name}: {failure.fault.value}: {failure.error}" for name, failure in self.failed.items())
        implausible = (f"{gpu}: {name}: implausible value {value:g}" for name, value in self._implausible.items())
        return ((*integrated,) if self.integrates else ()) + (*failed, *implausible)

    def _read(self, clock: Callable[[], float]) -> GpuReading:
        if self._implausible:
            self._implausible = {}
        counted = self._counted()
        at_seconds = clock()
        milliwatts = self.sample(at_seconds)
        if self._undecided:
            self._decide(counted, milliwatts, at_seconds)
        quantities = self._quantities(milliwatts)
        throttled = self._throttled()
        self._listen()
        return GpuReading(
            gpu=self.gpu,
            at_seconds=at_seconds,
            energy=self._energy(counted),
            quantities=quantities,
            throttled=throttled,
            xid_errors=self.xids.errors,
            last_xid=self.xids.last,
        )

    def _quantities(self, milliwatts: int | None) -> Mapping[str, float]:
        values: dict[str, float] = {} if milliwatts is None else {POWER.name: POWER.value(milliwatts)}
        for call, read, quantities in self._calls:
            answer = self._ask(call.name, read) if call.every_reads == 1 else self._kept_answer(call, read)
            if answer is None:
                continue
            for quantity in quantities:
                value = quantity.value(answer)
                if quantity.is_plausible(value):
                    values[quantity.name] = value
                else:
                    self._implausible[quantity.name] = value
        return values

    def _kept_answer(self, call: DriverCall, read: Callable[[], Any]) -> Any:
        """Return the answer of an earlier read, unless it is due again or there is none."""
        if self._reads % call.every_reads == 0 or self._kept.get(call.name) is None:
            self._kept[call.name] = self._ask(call.name, read)
        return self._kept[call.name]

    def _throttled(self) -> Mapping[str, bool] | None:
        mask = self._ask(THROTTLE_REASONS.name, self._throttle_reasons)
        return None if mask is None else _throttle_flags(mask)

    def _counted(self) -> int | None:
        if self._undecided or self.method is EnergyMethod.MEASURED:
            return self._ask("energy", self._energy_millijoules)
        return None

    def _energy(self, counted: int | None) -> EnergyCounter | None:
        if self.method is EnergyMethod.MEASURED and counted is not None:
            return EnergyCounter(counted, EnergyMethod.MEASURED, self._scope)
        if self.method is EnergyMethod.INTEGRATED:
            return EnergyCounter(self.integral.millijoules, EnergyMethod.INTEGRATED)
        return None

    def _decide(self, counted: int | None, milliwatts: int | None, at_seconds: float) -> None:
        """Choose the energy method, once, as soon as the driver has given a clear answer."""
        if counted is not None:
            self._choose(EnergyMethod.MEASURED, "the driver's energy counter")
            self._scope = self._ask("energy_scope", self._energy_scope) or EnergyScope.GPU
        elif self._fault("energy") not in (DriverFault.UNSUPPORTED, DriverFault.DENIED):
            return
        elif milliwatts is not None:
            self._choose(EnergyMethod.INTEGRATED, "sampled power, because the driver has no energy counter for it")
            self.integral = extend_integral(self.integral, at_seconds, milliwatts)
        elif self._fault("energy") is self._fault(POWER.call.name) is DriverFault.UNSUPPORTED:
            self._choose(None, "nothing: the driver reports neither an energy counter nor power")

    def _choose(self, method: EnergyMethod | None, source: str) -> None:
        self.method = method
        self._undecided = False
        log.info("%s (%s): energy is read from %s", self._log_name(), self.gpu.product, source)

    def _fault(self, name: str) -> DriverFault | None:
        failure = self.failed.get(name)
        return failure.fault if failure else None

    def _listen(self) -> None:
        """Take the pending Xids. This does not count as an answer: a dead driver's event sets keep working."""
        new = self._try("xid_errors", self._xid_errors)
        if new is not None:
            self.xids = self.xids.plus(new)
        for xid in new or ():
            log.warning("%s: Xid %d; see dmesg and NVIDIA's list of Xid errors", self._log_name(), xid)

    def _ask(self, name: str, ask: Callable[[], T]) -> T | None:
        answer = self._try(name, ask)
        self.answers += answer is not None
        return answer

    def _try(self, name: str, ask: Callable[[], T]) -> T | None:
        if self.failed and self._fault(name) is DriverFault.UNSUPPORTED:
            return None
        try:
            answer = ask()
        except DriverError as error:
            return self._tried_again(name, ask, error)
        if self.failed:
            self.failed.pop(name, None)
        return answer

    def _tried_again(self, name: str, ask: Callable[[], T], error: DriverError) -> T | None:
        if driver_fault(error) is DriverFault.RETRY_NOW:
            try:
                answer = ask()
            except DriverError as second:
                error = second
            else:
                self.failed.pop(name, None)
                return answer
        self._record_failure(name, error)
        return None

    def _record_failure(self, name: str, error: DriverError) -> None:
        fault = driver_fault(error)
        if fault in _WHOLE_DRIVER:
            raise error
        if name not in self.failed:
            log.debug("%s: %s: %s", self._log_name(), name, error)
        self.failed[name] = FailedQuantity(fault, error)

    def _mark_lost(self, error: DriverError) -> None:
        if not self.lost:
            log.warning(
                "%s is lost: %s; its energy is no longer counted; see dmesg for its Xid, then reset or reseat it",
                self._log_name(),
                error,
            )
            with suppress(DriverError):  # the Xid that explains it may be pending
                self._listen()
        self.lost = True

    def _mark_found(self) -> None:
        if self.lost:
            log.info("%s is back", self._log_name())
        self.lost = False

    def _log_name(self) -> str:
        return f"{NVML_SOURCE}: gpu {self.gpu.index} ({self.gpu.uuid})"
