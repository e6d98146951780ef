"""Reads one server between two ticks, and keeps the pages until the tick takes them."""

import asyncio
from collections.abc import Awaitable, Callable

from goodwatt.model.engine import EngineReading
from goodwatt.model.source import SourceUnavailable


class ReadsBetween:
    """A task that reads a number of times and ends. It never runs while the tick's own read does."""

    def __init__(
        self, read: Callable[[], Awaitable[EngineReading]], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._read = read
        self._sleep = sleep
        self._pages: list[EngineReading] = []
        self._task: asyncio.Task[None] | None = None

    def start(self, reads: int, every_seconds: float) -> None:
        """Read that many times from now on, the first time after `every_seconds`. Call `take` before starting again."""
        if reads > 0:
            self._task = asyncio.create_task(self._run(reads, every_seconds))

    async def take(self) -> tuple[EngineReading, ...]:
        """Stop reading and return the pages read since the last call, oldest first.

        A read under way is cancelled. An exception other than SourceUnavailable is a bug and raised here.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.result()
        pages, self._pages = tuple(self._pages), []
        return pages

    async def _run(self, reads: int, every_seconds: float) -> None:
        for _ in range(reads):
            await self._sleep(every_seconds)
            try:
                self._pages.append(await self._read())
            except SourceUnavailable:
                return  # the tick's own read tells, and decides what the server's state is
