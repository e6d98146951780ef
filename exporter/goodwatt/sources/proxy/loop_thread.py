"""An event loop in a separate thread, so that proxied traffic never waits for a tick."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

# How long Python lets a busy thread run while another waits. A tick keeps its thread busy for tens of milliseconds,
# and every token needs the interpreter several times: with the usual 5 ms each it would come late by as much.
SWITCH_SECONDS = 0.0002
_ROUNDS = 5


class LoopThread:
    """Runs an event loop in a daemon thread, which does not delay the exit of the process."""

    def __init__(self, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the thread's loop and return its result. The thread must be running."""
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def run_within(self, work: Callable[[], None], within_seconds: float) -> None:
        """Run `work` in the thread's loop and wait for it, for at most `within_seconds`."""
        over: Future[None] = Future()

        def run() -> None:
            work()
            if over.set_running_or_notify_cancel():  # false if the wait timed out
                over.set_result(None)

        self.submit(run)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await asyncio.wrap_future(over)

    def submit(self, work: Callable[[], None]) -> None:
        """Schedule `work` in the thread's loop. Does nothing after the loop has closed."""
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Stop the loop after the callbacks that are due. Call it from within the loop."""
        if self._loop is not None:
            self._loop.stop()

    def _work(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(_settled())
        finally:
            loop.close()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, for at most `seconds`."""
        self._thread.join(seconds)


async def _settled() -> None:
    """Give closed transports and waiting futures a few rounds of the loop to finish."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
