"""The GPU source: reads every GPU of this machine through a driver that may hang or go away."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from goodwatt.model.gpu import GpusReading
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.source import NVML_SOURCE, Reason, SourceUnavailable
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.errors import driver_gone, open_failed
from goodwatt.sources.gpu.session import DriverSession
from goodwatt.sources.lane import Lane

log = logging.getLogger(__name__)

SAMPLE_PERIOD_SECONDS = 0.1
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


class GpuSource:
    """Reads every GPU. A missing driver is retried after 1 s, doubling to 60 s; a hung driver blocks nothing else."""

    id = NVML_SOURCE

    def __init__(
        self, driver: GpuDriver, clock: Callable[[], float] = time.monotonic, deadline_seconds: float = 2.0
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._driver = driver
        self._clock = clock
        self._lane = Lane(self.id.label, self._sample_if_due, clock)
        self._session: DriverSession | None = None
        self._former: DriverSession | None = None
        self._sampled_at_seconds = clock()
        self._why: tuple[Reason, str] | None = None  # reason and detail of the last failed open
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._open_at_seconds = clock()
        self._needs_restart = False

    @property
    def needs_restart(self) -> bool:
        """Whether an opened driver fails every call with an error that only a restart has been seen to fix."""
        return self._needs_restart

    async def read(self) -> GpusReading:
        """Read every GPU. Raises SourceUnavailable while the driver is missing, refuses every call or hangs."""
        return await self._lane.call(self._read)

    async def aclose(self) -> None:
        """Close the driver; a hung one is abandoned after half a second."""
        await self._lane.aclose(self._close)

    def _read(self) -> GpusReading:
        session = self._session or self._open()
        try:
            reading = session.read(self._clock)
        except DriverError as error:
            self._close()
            raise self._retry_later(driver_gone(error)) from error
        except SourceUnavailable as why:
            self._needs_restart = why.reason is Reason.DRIVER_ERROR
            raise
        self._needs_restart, self._why, self._wait_seconds = False, None, FIRST_WAIT_SECONDS
        self._sampled_at_seconds = self._clock()
        return reading

    def _open(self) -> DriverSession:
        if self._why is not None and self._clock() < self._open_at_seconds:
            raise SourceUnavailable(*self._why)
        try:
            session = self._try_to_open()
        except SourceUnavailable as why:
            raise self._retry_later(why) from why.__cause__
        self._session = session
        log.info("%s: driver %s found, %d GPUs", self.id, session.version, len(session.devices))
        return session

    def _try_to_open(self) -> DriverSession:
        try:
            self._driver.open()
        except DriverError as error:
            raise open_failed(error) from error
        try:
            return DriverSession(self._driver, self._former.known() if self._former else {})
        except DriverError as error:
            self._close()
            raise open_failed(error) from error
        except SourceUnavailable:
            self._close()
            raise

    def _retry_later(self, why: SourceUnavailable) -> SourceUnavailable:
        """Schedule the next open after the wait, which doubles. Returns `why` for the caller to raise."""
        self._why = (why.reason, why.detail)
        self._open_at_seconds = self._clock() + self._wait_seconds
        self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        return why

    def _close(self) -> None:
        self._former, self._session = self._session or self._former, None
        with suppress(DriverError):
            self._driver.close()

    def _sample_if_due(self) -> float | None:
        """Sample power between reads. Returns the seconds to the next sample, or None if no GPU integrates power."""
        if self._session is None or not self._session.integrates:
            return None
        now = self._clock()
        due_seconds = self._sampled_at_seconds + SAMPLE_PERIOD_SECONDS - now
        if due_seconds > 0:
            return due_seconds
        self._sampled_at_seconds = now
        self._session.sample(self._clock)
        return SAMPLE_PERIOD_SECONDS


def gpu_source(
    section: GpusSection, driver: GpuDriver | None = None, clock: Callable[[], float] = time.monotonic
) -> GpuSource | None:
    """Return the configured source, over `driver` or else this machine's NVML; None for `kind: none`."""
    match section.kind:
        case "none":
            return None
        case "auto" | "nvml":
            return GpuSource(driver or _nvml(), clock)
        case _:
            assert_never(section.kind)


def _nvml() -> GpuDriver:
    from goodwatt.sources.gpu.nvml import NvmlDriver  # noqa: PLC0415  # the binding is large; load it only if used

    return NvmlDriver()
