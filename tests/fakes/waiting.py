"""Waits for another thread."""

import asyncio
import time
from collections.abc import Callable


async def soon(condition: Callable[[], bool], within_seconds: float = 5.0) -> None:
    """Wait until another thread makes the condition true, or fail after `within_seconds`."""
    end = time.monotonic() + within_seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.005)
