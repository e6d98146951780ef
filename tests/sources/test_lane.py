import asyncio
import subprocess
import sys
import threading
import time

import pytest

from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.lane import Lane
from tests.fakes.fake_driver import Clock
from tests.fakes.waiting import soon


async def test_runs_in_one_thread():
    """Every call runs in the same daemon thread, which is not the caller's."""
    lane = Lane("nvml")
    first, second = await lane.call(threading.current_thread), await lane.call(threading.current_thread)
    assert first is second is not threading.current_thread()
    assert first.daemon
    await lane.aclose(lambda: None)


async def test_exceptions_reach_the_caller():
    """A call raises its function's exception, even one a future cannot hold, and the lane keeps working."""
    lane = Lane("nvml")
    with pytest.raises(ZeroDivisionError):
        await lane.call(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await lane.call(lambda: next(iter(())))
    assert await lane.call(lambda: 5) == 5
    await lane.aclose(lambda: None)


async def test_wedged_fails_immediately():
    """While a call is stuck, the next one fails immediately and says for how long."""
    clock, release = Clock(), threading.Event()
    lane = Lane("nvml", clock=clock)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lane.call(lambda: release.wait(30))
    clock.advance(37.2)
    with pytest.raises(SourceUnavailable) as refused:
        await lane.call(lambda: 1)
    assert refused.value.reason is Reason.WEDGED
    assert (
        "nvml: a call has been stuck in the driver for 37 s; nothing is read until it returns" in refused.value.detail
    )
    release.set()
    await lane.aclose(lambda: None)


async def test_recovers_when_the_call_returns():
    """Once the stuck call returns, the lane works again and the late result is discarded."""
    release, lane = threading.Event(), Lane("nvml")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lane.call(lambda: release.wait(30) and "late")
    release.set()

    async def answer():
        try:
            return await lane.call(lambda: "fresh")
        except SourceUnavailable:
            return None

    end = time.monotonic() + 5
    while (got := await answer()) is None:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)
    assert got == "fresh"
    await lane.aclose(lambda: None)


async def test_a_cancelled_call_that_never_started_is_dropped():
    """A call cancelled while the poll held the thread is not run."""
    held, release, ran = threading.Event(), threading.Event(), []

    def poll():
        held.set()
        release.wait(30)

    lane = Lane("nvml", poll)
    await lane.call(lambda: None)
    await asyncio.to_thread(held.wait, 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await lane.call(lambda: ran.append("stale"))
    release.set()
    await soon(lambda: not lane.busy)
    assert await lane.call(lambda: "next") == "next"
    assert ran == []
    await lane.aclose(lambda: None)


async def test_polls_while_idle():
    """The poll runs repeatedly in the lane's thread at the interval it returns."""
    polls = []

    def poll():
        polls.append(threading.current_thread())
        return 0.01

    lane = Lane("nvml", poll)
    thread = await lane.call(threading.current_thread)
    await soon(lambda: len(polls) >= 5)
    assert set(polls) == {thread}
    await lane.aclose(lambda: None)


async def test_no_poll_without_an_interval():
    """A poll that returns None runs once after each call and never in between."""
    polls = []
    lane = Lane("nvml", lambda: polls.append(1))
    await lane.call(lambda: None)
    await soon(lambda: polls)
    await asyncio.sleep(0.1)
    assert len(polls) == 1
    await lane.aclose(lambda: None)


async def test_an_exception_in_the_poll_surfaces():
    """An exception in the poll is raised by the next call instead of ending the thread silently."""
    lane = Lane("nvml", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    await lane.call(lambda: None)
    await soon(lambda: lane._broken is not None)
    with pytest.raises(ZeroDivisionError):
        await lane.call(lambda: None)


async def test_closing_runs_the_last_job_and_ends_the_thread():
    """aclose runs its last function, ignores its exception, and ends the thread."""
    lane, ran = Lane("nvml"), []
    thread = await lane.call(threading.current_thread)

    def last():
        ran.append(1)
        raise ValueError("dropped")

    await lane.aclose(last)
    assert ran == [1]
    await soon(lambda: not thread.is_alive())


async def test_closing_does_not_wait_for_a_hung_call():
    """With a stuck call, aclose returns within its timeout."""
    release, lane = threading.Event(), Lane("nvml")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await lane.call(lambda: release.wait(30))
    began = time.monotonic()
    await lane.aclose(lambda: None)
    assert time.monotonic() - began < 0.4
    release.set()


def test_a_result_after_the_loop_closed_is_dropped():
    """A call that returns after its event loop closed harms neither the thread nor a later loop."""
    release, lane = threading.Event(), Lane("nvml")

    async def leave():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await lane.call(lambda: release.wait(30))

    async def come_back():
        await soon(lambda: not lane.busy)
        return await lane.call(lambda: "alive")

    asyncio.run(leave())
    release.set()
    assert asyncio.run(come_back()) == "alive"


def test_exit_never_waits_for_a_hung_call():
    """A process with a stuck lane exits as soon as its main thread does."""
    script = """
import asyncio, time
from goodwatt.sources.lane import Lane
async def main():
    try:
        async with asyncio.timeout(0.1):
            await Lane("nvml").call(lambda: time.sleep(3600))
    except TimeoutError:
        print("left", flush=True)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
