"""All GPUs of an opened driver, keyed by UUID."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TypeVar

from goodwatt.model.gpu import Gpu, GpusReading
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.source import SourceUnavailable
from goodwatt.sources.gpu.device import FailedQuantity, GpuDevice
from goodwatt.sources.gpu.errors import (
    DriverFault,
    driver_fault,
    no_gpus,
    open_failed,
    permission_denied,
    restart_needed,
)

D = TypeVar("D")

IDENTIFY_EVERY_READS = 12


class DriverSession:
    """Reads every GPU. Lives on the lane's thread, from one open of the driver to the next.

    `before` are the GPUs of the previous session: one that is no longer listed is LOST, and integrated energy and Xid
    counts continue. Raises SourceUnavailable if there is no GPU to read.
    """

    def __init__(self, driver: GpuDriver, before: Mapping[str, GpuDevice]) -> None:
        self.driver = driver
        self.version = _text_or(driver.driver_version, "unknown")
        self.devices: dict[str, GpuDevice] = {}  # by UUID
        self._known = dict(before)
        self._unidentified: dict[int, DriverError] = {}  # by index
        self._reads = 0
        self._identify(range(driver.count()))
        if not self.devices:
            raise self._no_gpus()

    @property
    def integrates(self) -> bool:
        """Whether any GPU's energy comes from sampled power."""
        return any(device.integrates for device in self.devices.values())

    def known(self) -> dict[str, GpuDevice]:
        """Return every GPU ever seen, by UUID, for the next session."""
        return {**self._known, **self.devices}

    def read(self, clock: Callable[[], float]) -> GpusReading:
        """Read every GPU. Raises DriverError if the driver is gone, SourceUnavailable if it answers no call."""
        if self._unidentified and self._reads % IDENTIFY_EVERY_READS == 0:
            self._identify(tuple(self._unidentified))
        self._reads += 1
        readings = [device.read(clock) for device in self.devices.values()]
        self._raise_if_silent()
        readings += [device.absent(clock) for device in self._absent()]
        readings.sort(key=lambda reading: reading.gpu.index)
        return GpusReading(tuple(readings), self.driver.simulated, tuple(self._notes()))

    def sample(self, clock: Callable[[], float]) -> None:
        """Sample the power of every GPU without an energy counter. The next read reports those that cannot answer."""
        for device in self.devices.values():
            if device.integrates and not device.lost:
                with suppress(DriverError):  # the next read gets the same error and reports it
                    device.sample(clock())

    def _identify(self, indices: Iterable[int]) -> None:
        for index in indices:
            try:
                device = self._device(index)
            except DriverError as error:
                if driver_fault(error) is DriverFault.DRIVER_GONE:
                    raise
                self._unidentified[index] = error
            else:
                self._unidentified.pop(index, None)
                self.devices[device.gpu.uuid] = device

    def _device(self, index: int) -> GpuDevice:
        driver = self.driver
        handle = driver.handle(index)
        uuid = driver.uuid(handle)
        product = _text_or(lambda: driver.product(handle), "unknown")
        board = _text_or(lambda: driver.board_serial(handle), None)
        gpu = Gpu(uuid=uuid, index=index, product=product, driver=self.version, board=board)
        return GpuDevice(driver, handle, gpu, self._known.get(uuid))

    def _absent(self) -> list[GpuDevice]:
        return [device for uuid, device in self._known.items() if uuid not in self.devices]

    def _no_gpus(self) -> SourceUnavailable:
        for error in self._unidentified.values():
            return permission_denied(error) if driver_fault(error) is DriverFault.DENIED else open_failed(error)
        return no_gpus(self.version)

    def _raise_if_silent(self) -> None:
        """Raise if no GPU that is present answered any call of this read, and the reason concerns the whole driver."""
        present = [device for device in self.devices.values() if not device.lost]
        if not present or any(device.answers for device in present):
            return
        failures = [failure for device in present for failure in device.failed.values()]
        for fault, report in (
            (DriverFault.NEEDS_RESTART, restart_needed),
            (DriverFault.DENIED, permission_denied),
        ):
            found = _first(failures, fault)
            if found is not None:
                raise report(found.error)

    def _notes(self) -> Iterable[str]:
        for device in self.devices.values():
            yield from device.notes()
        for index, error in self._unidentified.items():
            yield f"gpu {index}: cannot be identified: {error}"
        for device in self._absent():
            yield f"gpu {device.gpu.index} ({device.gpu.uuid}): no longer listed by the driver"


def _first(failures: list[FailedQuantity], fault: DriverFault) -> FailedQuantity | None:
    return next((failure for failure in failures if failure.fault is fault), None)


def _text_or(ask: Callable[[], str], default: D) -> str | D:
    try:
        return ask()
    except DriverError as error:
        if driver_fault(error) is DriverFault.DRIVER_GONE:
            raise
        return default
