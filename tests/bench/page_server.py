"""Serves a captured vLLM page on loopback; its counters grow at every scrape: `python -m tests.bench.page_server`.

Prints its address. `/plain` is a fixed page of the size of goodwatt's: the minimum cost of a response here. The line
"hang" on standard input makes it stop answering scrapes; it exits when standard input closes.
"""

import asyncio
import sys
import threading
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).parents[1] / "engines/vllm/0.33.0/generated.prom"
COUNTS = ("_total", "_bucket", "_count", "_sum")
PLAIN_BYTES = 6000
GROWTH_RATIO = 1.0  # per scrape, of each counter's first value: a busy server


class Captured:
    """The page at each scrape."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._scrapes = 0

    def next(self) -> str:
        """The page with every counter grown by GROWTH_RATIO; integers stay integers."""
        self._scrapes += 1
        return "\n".join(map(self._grown, self._lines)) + "\n"

    def _grown(self, line: str) -> str:
        name = line.partition("{")[0].partition(" ")[0]
        if line.startswith("#") or not name.endswith(COUNTS):
            return line
        series, _, value = line.rpartition(" ")
        grown = float(value) * (1 + GROWTH_RATIO * self._scrapes)
        return f"{series} {float(round(grown)) if float(value).is_integer() else grown!r}"


async def main() -> None:
    """Serve until standard input ends."""
    page, hangs, over = Captured(PAGE.read_text()), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def metrics(_: web.Request) -> web.Response:
        if hangs.is_set():
            await over.wait()
        response = web.Response(body=page.next().encode(), headers={"Content-Type": "text/plain; version=0.0.4"})
        response.enable_compression()  # as vLLM does on request
        return response

    async def plain(_: web.Request) -> web.Response:
        return web.Response(body=bytes(PLAIN_BYTES))

    def listen_to_stdin() -> None:
        for line in sys.stdin:
            if line.strip() == "hang":
                loop.call_soon_threadsafe(hangs.set)
        loop.call_soon_threadsafe(over.set)

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/plain", plain)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    threading.Thread(target=listen_to_stdin, daemon=True).start()
    await over.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
