"""Faults scheduled for the demo."""

import asyncio

import pytest

from goodwatt.demo.demo import Demo
from goodwatt.demo.faults import DOWN_STATUS, FaultKind, PlannedFault, planned_fault
from goodwatt.demo.server import ServerFaults

KNOWN = ("chat", "batch")


@pytest.mark.parametrize(
    ("text", "planned"),
    [
        ("slow:chat@60+120", PlannedFault(FaultKind.SLOW, ("chat",), 60.0, 120.0)),
        ("hang@0.5+1.5", PlannedFault(FaultKind.HANG, KNOWN, 0.5, 1.5)),
        ("down:batch@3", PlannedFault(FaultKind.DOWN, ("batch",), 3.0, None)),
        ("restart@4", PlannedFault(FaultKind.RESTART, KNOWN, 4.0, None)),
    ],
)
def test_a_fault_as_people_write_it(text: str, planned: PlannedFault) -> None:
    """Text is parsed into kind, one or all servers, start, and duration or none."""
    assert planned_fault(text, KNOWN) == planned


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("slow", "such as slow:chat@60"),
        ("slow@-1", "such as"),
        ("slow@1+", "such as"),
        ("slow:@1", "such as"),
        ("burn@1", "knows slow, hang, down, restart"),
        ("slow:other@1", "knows the servers chat, batch"),
        ("restart@1+2", "write restart@1"),
    ],
)
def test_what_cannot_be_is_refused(text: str, word: str) -> None:
    """Invalid text raises ValueError saying what to write instead."""
    with pytest.raises(ValueError, match=word):
        planned_fault(text, KNOWN)


def slowdown(demo: Demo, name: str) -> float:
    return demo.engine(name).read_now(lambda engine: engine._slowdown)


async def hangs(faults: ServerFaults) -> bool:
    try:
        await asyncio.wait_for(faults.answering(), 0.01)
    except TimeoutError:
        return True
    return False


async def test_faults_begin_and_end_at_their_time() -> None:
    """A fault affects only its servers, and only while it lasts."""
    demo = Demo(past_seconds=1.0)
    plan = [planned_fault(f"{text}@0+1", KNOWN) for text in ("slow:chat", "hang:chat", "down:batch")]
    playing = asyncio.create_task(demo.play(plan))
    await asyncio.sleep(0.05)
    assert (slowdown(demo, "chat"), slowdown(demo, "batch")) == (8.0, 1.0)
    assert (await hangs(demo.faults("chat")), await hangs(demo.faults("batch"))) == (True, False)
    assert (demo.faults("chat").http_status, demo.faults("batch").http_status) == (None, DOWN_STATUS)
    await playing
    assert slowdown(demo, "chat") == 1.0
    assert not await hangs(demo.faults("chat"))
    assert demo.faults("batch").http_status is None


async def test_a_restart_happens_at_once_and_a_fault_without_length_stays() -> None:
    """A restart resets a server's counters; a fault without an end outlasts the plan."""
    demo = Demo(past_seconds=30.0)
    before = demo.engine("chat").read_now(lambda engine: engine.counters.generated_tokens)
    await demo.play([planned_fault("restart:chat@0", KNOWN), planned_fault("down:batch@0", KNOWN)])
    assert 0 <= demo.engine("chat").read_now(lambda engine: engine.counters.generated_tokens) < before
    assert demo.faults("batch").http_status == DOWN_STATUS
