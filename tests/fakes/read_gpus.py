"""Reads GPUs with the real source and binding, and prints one JSON line per read.

Arguments: seconds between reads, deadline of one read. Ends when standard input closes.
"""

import asyncio
import json
import sys
import threading
from dataclasses import asdict

from goodwatt.model.gpu import GpusReading
from goodwatt.model.gpu_quantities import GPU_QUANTITIES
from goodwatt.model.source import SourceUnavailable
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.source import gpu_source


def flat(reading: GpusReading) -> dict[str, object]:
    """Return the reading for JSON, with each quantity as a field of its GPU, None if it is missing."""
    missing = dict.fromkeys((quantity.name for quantity in GPU_QUANTITIES), None)
    gpus = [{**asdict(gpu), **missing, **gpu.quantities} for gpu in reading.gpus]
    return {**asdict(reading), "gpus": gpus}


async def main(interval_seconds: float, deadline_seconds: float) -> None:
    source = gpu_source(GpusSection())
    assert source is not None
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(over.set)), daemon=True).start()
    while not over.is_set():
        try:
            async with asyncio.timeout(deadline_seconds):
                line = flat(await source.read())
        except SourceUnavailable as why:
            line = {"reason": why.reason, "detail": why.detail}
        except TimeoutError:
            line = {"reason": "timeout", "detail": ""}
        print(json.dumps({**line, "needs_restart": source.needs_restart}), flush=True)
        try:
            async with asyncio.timeout(interval_seconds):
                await over.wait()
        except TimeoutError:
            pass
    await source.aclose()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
