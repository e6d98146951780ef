"""A publisher on a loopback port, and a client that says nothing of itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession

from goodwatt.publish.http import About, Publisher

ABOUT = About("0.1.0", "3.11.7", "0123456789ab")


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 1065.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving(
    about: About = ABOUT, *, unhealthy: Callable[[], str | None] = lambda: None, **options: object
) -> AsyncIterator[tuple[Publisher, ClientSession, Clock]]:
    """A publisher, a client for its paths, and its clock."""
    clock = Clock()
    publisher = Publisher(about, unhealthy=unhealthy, clock=clock, **options)  # type: ignore[arg-type]
    address = await publisher.start("127.0.0.1", 0)
    try:
        async with ClientSession(address.url, headers={"Accept-Encoding": "identity"}) as client:
            yield publisher, client, clock
    finally:
        await publisher.aclose()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connecting(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[Connection]]]:
    """Opens bare connections and sends bytes on them; cuts all of them at the end."""
    opened: list[Connection] = []

    async def connect(request: bytes) -> Connection:
        opened.append(await asyncio.open_connection("127.0.0.1", port))
        opened[-1][1].write(request)
        return opened[-1]

    try:
        yield connect
    finally:
        for _, writer in opened:
            writer.transport.abort()
        await asyncio.sleep(0)
