"""One daemon thread that owns a blocking library.

One call runs at a time. A call cannot be interrupted: cancelling the wait leaves it running, and until it returns
every further call fails immediately instead of queueing. Process exit never waits for the thread.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from goodwatt.model.source import Reason, SourceUnavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The return value of a job, or the exception it raised."""

    value: object = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[_Outcome]


class Lane:
    """Runs functions in its own thread, which starts at the first call.

    `poll`, if given, runs in the thread after each job and returns the seconds until it runs again, or None to wait for
    the next job. An exception from it is raised by the next call.
    """

    def __init__(
        self, name: str, poll: Callable[[], float | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._poll = poll
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._broken: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is still running."""
        return self._busy_since is not None

    async def call(self, run: Callable[[], T]) -> T:
        """Run `run` in the thread and return its result or raise its exception.

        Raises SourceUnavailable(WEDGED) immediately while an earlier call is still running. Cancelling stops the wait,
        not the thread.
        """
        self._refuse_if_busy()
        self._start()
        loop = asyncio.get_running_loop()
        job = _Job(run, loop, loop.create_future())
        self._busy_since = self._clock()
        self._jobs.put(job)
        outcome = await job.future
        if outcome.error is not None:
            raise outcome.error
        return cast(T, outcome.value)

    async def aclose(self, last: Callable[[], object], patience_seconds: float = 0.5) -> None:
        """Run `last` and end the thread, waiting at most `patience_seconds`. Exceptions from `last` are ignored."""
        with suppress(Exception):
            async with asyncio.timeout(patience_seconds):
                await self.call(last)
        self._jobs.put(None)

    def _refuse_if_busy(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._busy_since is None:
            return
        seconds = self._clock() - self._busy_since
        raise SourceUnavailable(
            Reason.WEDGED,
            f"{self._name}: a call has been stuck in the driver for {seconds:.0f} s; nothing is read until it returns; "
            "check dmesg for driver errors, and restart the machine if it stays stuck",
        )

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"lane-{self._name}", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        wait_seconds: float | None = None
        while True:
            try:
                job = self._jobs.get(timeout=wait_seconds)
            except Empty:
                wait_seconds = self._run_poll()
                continue
            if job is None:
                return
            self._run(job)
            wait_seconds = self._run_poll()

    def _run(self, job: _Job) -> None:
        outcome = None if job.future.cancelled() else _attempt(job.run)
        self._busy_since = None
        if outcome is not None:
            with suppress(RuntimeError):  # the loop has closed, so the result is no longer needed
                job.loop.call_soon_threadsafe(_deliver, job.future, outcome)

    def _run_poll(self) -> float | None:
        if self._poll is None:
            return None
        try:
            return self._poll()
        except BaseException as error:
            self._broken = error
            return None


def _attempt(run: Callable[[], object]) -> _Outcome:
    try:
        return _Outcome(value=run())
    except BaseException as error:  # raised again in the caller; the thread must survive
        return _Outcome(error=error)


def _deliver(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
