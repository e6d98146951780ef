"""An event loop in a thread of its own, so that what passes through it never waits for a tick."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

# How long Python lets a busy thread run while another one waits. A tick keeps its thread busy for tens of milliseconds,
# and every token needs the interpreter several times: with the usual 5 ms each it would come late by as much.
SWITCH_SECONDS = 0.0002
_ROUNDS = 5


class LoopThread:
    """A daemon thread: the process never waits for it."""

    def __init__(self, name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Once."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` answers or raises in the thread's loop, which must have started and not have ended."""
        assert self._loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def run_within(self, work: Callable[[], None], within_seconds: float) -> None:
        """Have it done in the thread's loop, and wait until that has happened, but for so long at most."""
        over: Future[None] = Future()

        def run() -> None:
            work()
            if over.set_running_or_notify_cancel():  # somebody still waits
                over.set_result(None)

        self.submit(run)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await asyncio.wrap_future(over)

    def submit(self, work: Callable[[], None]) -> None:
        """Have it done in the thread's loop, soon; nothing once the thread has ended."""
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    @property
    def is_running(self) -> bool:
        """Between start and end."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End when what is due has been done. Only in the thread's own loop."""
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
        """Wait until the thread has ended, for so long."""
        self._thread.join(seconds)


async def _settled() -> None:
    """Let what has been closed be told so, and whoever waits read_message of it."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
