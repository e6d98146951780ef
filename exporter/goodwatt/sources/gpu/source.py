"""GPUs as a source: energy, power and load of every GPU of this machine, through a driver that may hang or vanish."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from goodwatt.model.gpu import GpusReading
from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.source import NVML_SOURCE, Reason, SourceUnavailable
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.errors import gone, not_opened
from goodwatt.sources.gpu.session import Session
from goodwatt.sources.lane import Lane

log = logging.getLogger(__name__)

SAMPLE_PERIOD_SECONDS = 0.1
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0


class GpuSource:
    """Reads every GPU. A missing driver is tried again after 1 s, doubling to 60 s; a hung one blocks nothing else."""

    id = NVML_SOURCE

    def __init__(
        self, driver: GpuDriver, clock: Callable[[], float] = time.monotonic, deadline_seconds: float = 2.0
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._driver = driver
        self._clock = clock
        self._lane = Lane(self.id.label, self._beat, clock)
        self._session: Session | None = None
        self._former: Session | None = None
        self._sampled_at_seconds = clock()
        self._why: tuple[Reason, str] | None = None  # of the last failed open
        self._wait_seconds = FIRST_WAIT_SECONDS
        self._open_at_seconds = clock()
        self._needs_restart = False

    @property
    def needs_restart(self) -> bool:
        """True while the driver, once opened, answers every call with an error that only a restart has cured."""
        return self._needs_restart

    async def read(self) -> GpusReading:
        """Every GPU now. Raises SourceUnavailable while the driver is missing, refuses everything or hangs."""
        return await self._lane.call(self._read)

    async def aclose(self) -> None:
        """Let the driver go; a hung one is abandoned after half a second."""
        await self._lane.aclose(self._close)

    def _read(self) -> GpusReading:
        session = self._session or self._open()
        try:
            reading = session.read(self._clock)
        except DriverError as error:
            self._close()
            raise self._put_off(gone(error)) from error
        except SourceUnavailable as why:
            self._needs_restart = why.reason is Reason.DRIVER_ERROR
            raise
        self._needs_restart, self._why, self._wait_seconds = False, None, FIRST_WAIT_SECONDS
        self._sampled_at_seconds = self._clock()
        return reading

    def _open(self) -> Session:
        if self._why is not None and self._clock() < self._open_at_seconds:
            raise SourceUnavailable(*self._why)
        try:
            session = self._try_to_open()
        except SourceUnavailable as why:
            raise self._put_off(why) from why.__cause__
        self._session = session
        log.info("nvml: driver %s found, %d GPUs", session.version, len(session.cards))
        return session

    def _try_to_open(self) -> Session:
        try:
            self._driver.open()
        except DriverError as error:
            raise not_opened(error) from error
        try:
            return Session(self._driver, self._former.known() if self._former else {})
        except DriverError as error:
            self._close()
            raise not_opened(error) from error
        except SourceUnavailable:
            self._close()
            raise

    def _put_off(self, why: SourceUnavailable) -> SourceUnavailable:
        """Try to open again only after the wait, which doubles."""
        self._why = (why.reason, why.detail)
        self._open_at_seconds = self._clock() + self._wait_seconds
        self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        return why

    def _close(self) -> None:
        self._former, self._session = self._session or self._former, None
        with suppress(DriverError):
            self._driver.close()

    def _beat(self) -> float | None:
        """Sample power between reads where joules come from it; None, so no wake-up, where no GPU needs it."""
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
    """The source a section asks for, over `driver` or the machine's own NVML; None where no GPU is to be read."""
    match section.kind:
        case "none":
            return None
        case "auto" | "nvml":
            return GpuSource(driver or _nvml(), clock)
        case _:
            assert_never(section.kind)


def _nvml() -> GpuDriver:
    from goodwatt.sources.gpu.nvml import NvmlDriver  # noqa: PLC0415  # the binding is large: loaded only where it is used

    return NvmlDriver()
