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


async def test_answers_from_one_thread_of_its_own():
    """Every job runs in the same daemon thread, which is not the caller's."""
    lane = Lane("nvml")
    first, second = await lane.call(threading.current_thread), await lane.call(threading.current_thread)
    assert first is second is not threading.current_thread()
    assert first.daemon
    await lane.aclose(lambda: None)


async def test_what_a_job_raises_reaches_the_caller():
    """What a job raises comes out of the call, even one that a future could not carry, and the lane goes on."""
    lane = Lane("nvml")
    with pytest.raises(ZeroDivisionError):
        await lane.call(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await lane.call(lambda: next(iter(())))
    assert await lane.call(lambda: 5) == 5
    await lane.aclose(lambda: None)


async def test_wedged_is_said_at_once():
    """While a call has not come back the next is refused at once, and says since when."""
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


async def test_works_again_when_the_call_comes_back():
    """Once the late call is back the lane answers again, and the late answer is given to nobody."""
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


async def test_a_cancelled_job_that_never_began_is_dropped():
    """A job whose caller left while the beat held the thread is not run."""
    held, release, ran = threading.Event(), threading.Event(), []

    def beat():
        held.set()
        release.wait(30)

    lane = Lane("nvml", beat)
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


async def test_beats_while_idle():
    """The beat runs again and again, in the lane's thread, at the period that it answers."""
    beats = []

    def beat():
        beats.append(threading.current_thread())
        return 0.01

    lane = Lane("nvml", beat)
    thread = await lane.call(threading.current_thread)
    await soon(lambda: len(beats) >= 5)
    assert set(beats) == {thread}
    await lane.aclose(lambda: None)


async def test_no_beat_no_wake_up():
    """A beat that answers None is asked once after each job and never in between."""
    beats = []
    lane = Lane("nvml", lambda: beats.append(1))
    await lane.call(lambda: None)
    await soon(lambda: beats)
    await asyncio.sleep(0.1)
    assert len(beats) == 1
    await lane.aclose(lambda: None)


async def test_a_broken_beat_is_a_bug_that_surfaces():
    """What the beat raises comes out of the next call instead of vanishing with the thread."""
    lane = Lane("nvml", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    await lane.call(lambda: None)
    await soon(lambda: lane._broken is not None)
    with pytest.raises(ZeroDivisionError):
        await lane.call(lambda: None)


async def test_closing_runs_the_last_job_and_ends_the_thread():
    """aclose runs its last job, drops what that raises, and ends the thread."""
    lane, ran = Lane("nvml"), []
    thread = await lane.call(threading.current_thread)

    def last():
        ran.append(1)
        raise ValueError("dropped")

    await lane.aclose(last)
    assert ran == [1]
    await soon(lambda: not thread.is_alive())


async def test_closing_does_not_wait_for_a_hung_call():
    """aclose of a lane whose call hangs comes back within its patience."""
    release, lane = threading.Event(), Lane("nvml")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await lane.call(lambda: release.wait(30))
    began = time.monotonic()
    await lane.aclose(lambda: None)
    assert time.monotonic() - began < 0.4
    release.set()


def test_an_answer_after_the_loop_has_closed_is_dropped():
    """A job that comes back after its event loop is gone harms neither the thread nor the next loop's calls."""
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
    """A process whose lane hangs for ever ends at once when its main thread does."""
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
