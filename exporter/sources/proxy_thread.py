"""An event loop in a thread of its own, so that what passes through it never waits for a tick."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
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
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Once."""
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        self._thread.start()

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` answers or raises in the thread's loop, which must not have ended."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def tell(self, work: Callable[[], None]) -> None:
        """Have it done in the thread's loop, soon; nothing once the thread has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    @property
    def runs(self) -> bool:
        """Between start and end."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End when what is due has been done. Only in the thread's own loop."""
        self._loop.stop()

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(_settled())
        finally:
            self._loop.close()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for so long."""
        self._thread.join(seconds)


async def _settled() -> None:
    """Let what has been closed be told so, and whoever waits hear of it."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
