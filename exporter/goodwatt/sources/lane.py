"""One daemon thread that owns a blocking library.

One job is in flight at a time. A job cannot be stopped: who stops waiting for it leaves it running, and until it comes
back every further call is refused at once instead of queueing behind it. The process never waits for the thread.
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
    """What a job answered, or what it raised."""

    value: object = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[_Outcome]


class Lane:
    """Runs functions in its own thread, started by the first call.

    `beat`, where given, runs in the thread after each job and then whenever the seconds it answered have passed;
    when it answers None the thread sleeps until the next job. What it raises comes out of the next call.
    """

    def __init__(
        self, name: str, beat: Callable[[], float | None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._beat = beat
        self._clock = clock
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._broken: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has not come back yet."""
        return self._busy_since is not None

    async def call(self, run: Callable[[], T]) -> T:
        """What `run` answers or raises, from the lane's thread.

        Raises SourceUnavailable(WEDGED) at once while an earlier call has not come back. Cancelling stops the waiting,
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
        """Run `last` and end the thread, waiting at most `patience_seconds`; what `last` raises is dropped."""
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
            f"{self._name}: a call has not come back for {seconds:.0f} s: the driver hangs; nothing is read until it "
            "answers; look for driver errors in dmesg, and restart the machine if it stays so",
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
                wait_seconds = self._run_beat()
                continue
            if job is None:
                return
            self._run(job)
            wait_seconds = self._run_beat()

    def _run(self, job: _Job) -> None:
        outcome = None if job.future.cancelled() else _attempt(job.run)
        self._busy_since = None
        if outcome is not None:
            with suppress(RuntimeError):  # the loop may have closed since: nobody waits any more
                job.loop.call_soon_threadsafe(_deliver, job.future, outcome)

    def _run_beat(self) -> float | None:
        if self._beat is None:
            return None
        try:
            return self._beat()
        except BaseException as error:
            self._broken = error
            return None


def _attempt(run: Callable[[], object]) -> _Outcome:
    try:
        return _Outcome(value=run())
    except BaseException as error:  # whatever it is belongs to the caller, never to the lane's thread
        return _Outcome(error=error)


def _deliver(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
