"""Reads between two ticks, kept until the tick takes them."""

import asyncio

import pytest

from goodwatt.model.engine import EngineReading, EngineTraits
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.engine.reads_between import ReadsBetween


def page(at: float) -> EngineReading:
    traits = EngineTraits()
    return EngineReading(server="s", at_seconds=at, engine="toy", traits=traits, counters={}, gauges={}, histograms={})


class Steps:
    """A sleep that returns when the test says so, and a read that numbers its pages."""

    def __init__(self, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.slept: list[float] = []
        self.pages = 0
        self._fails_at = fails_at
        self._error = error or SourceUnavailable(Reason.TIMEOUT, "s: no answer")
        self._next = asyncio.Semaphore(0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._next.acquire()

    async def read(self) -> EngineReading:
        self.pages += 1
        if self.pages == self._fails_at:
            raise self._error
        return page(float(self.pages))

    async def go_on(self, times: int) -> None:
        for _ in range(times):
            self._next.release()
            for _ in range(5):
                await asyncio.sleep(0)


async def test_pages_are_taken_once_in_order() -> None:
    """The pages come oldest first, and a second call has none; then it may start again."""
    steps = Steps()
    between = ReadsBetween(steps.read, steps.sleep)
    for first in (1, 4):
        between.start(5, 0.5)
        await steps.go_on(3)
        assert [one.at_seconds for one in await between.take()] == [first, first + 1, first + 2]
        assert await between.take() == ()
    assert set(steps.slept) == {0.5}


async def test_it_ends_by_itself() -> None:
    """After the reads that were asked for nothing is read any more; none asked for, none read."""
    steps = Steps()
    between = ReadsBetween(steps.read, steps.sleep)
    between.start(0, 0.5)
    await steps.go_on(1)
    between.start(2, 0.5)
    await steps.go_on(4)
    assert (steps.pages, len(await between.take())) == (2, 2)


async def test_a_failed_read_ends_it() -> None:
    """After a failure it waits for the tick, which decides on the server's state; earlier pages are kept."""
    steps = Steps(fails_at=2)
    between = ReadsBetween(steps.read, steps.sleep)
    between.start(5, 0.5)
    await steps.go_on(5)
    assert [one.at_seconds for one in await between.take()] == [1.0]
    assert steps.pages == 2


async def test_a_read_under_way_is_cancelled() -> None:
    """Taking the pages does not wait for a server that hangs."""
    started = asyncio.Event()

    async def hang() -> EngineReading:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0)

    between = ReadsBetween(hang, at_once)
    between.start(1, 0.0)
    await started.wait()
    assert await between.take() == ()


async def test_a_bug_is_not_hidden() -> None:
    """An unexpected exception is raised at the tick."""
    steps = Steps(fails_at=1, error=ZeroDivisionError())
    between = ReadsBetween(steps.read, steps.sleep)
    between.start(1, 0.5)
    await steps.go_on(1)
    with pytest.raises(ZeroDivisionError):
        await between.take()
