"""A proxy in front of a fake server, and a client that shows every byte of an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from goodwatt.model.request import RequestRecord, RequestsReading
from goodwatt.settings.sources import ProxySection
from goodwatt.sources.proxy.source import ProxySource

CHAT = "/v1/chat/completions"


class Proxy:
    """An open proxy source and all records it has returned so far."""

    def __init__(self, source: ProxySource) -> None:
        self.source = source
        self.records: list[RequestRecord] = []
        self.dropped: dict[str, int] = {}

    @property
    def port(self) -> int:
        return self.source.port

    async def read(self) -> RequestsReading:
        reading = await self.source.read()
        self.records += reading.records
        for why, number in reading.dropped.items():
            self.dropped[why.value] = self.dropped.get(why.value, 0) + number
        return reading

    async def told(self, records: int, dropped: int = 0) -> list[RequestRecord]:
        """Wait for this many records and drops, and return all records."""
        end = asyncio.get_running_loop().time() + 10
        while True:
            await self.read()
            if len(self.records) >= records and sum(self.dropped.values()) >= dropped:
                return self.records
            assert asyncio.get_running_loop().time() < end, f"only {self.records} and {self.dropped}"
            await asyncio.sleep(0.005)


def section(upstream: str, **keys: Any) -> ProxySection:
    return ProxySection(listen="127.0.0.1:0", upstream=upstream, **keys)


@asynccontextmanager
async def proxy(upstream: str, *, has_page: bool = True, **keys: Any) -> AsyncIterator[Proxy]:
    """A proxy on a loopback port that the system chose."""
    source = ProxySource("a", section(upstream, **keys), has_page=has_page)
    opened = Proxy(source)
    try:
        await opened.read()
        yield opened
    finally:
        await asyncio.to_thread(source.abort)


class Caller:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def until(self, what: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(what)

    async def rest(self) -> bytes:
        """Until the other side ends it."""
        async with asyncio.timeout(10):
            return await self.reader.read()

    async def whole(self) -> tuple[bytes, bytes]:
        """Head and body of one answer with a length or in chunks."""
        head = await self.until(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head, await self.until(b"0\r\n\r\n")
        length = next((line for line in lower.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        async with asyncio.timeout(10):
            return head, await self.reader.readexactly(int(length.partition(b":")[2]))


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


def post(body: bytes = b'{"model": "m"}', path: str = CHAT, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask(port: int, wire: bytes) -> tuple[bytes, bytes]:
    """One request on a connection of its own."""
    async with calling(port) as caller:
        await caller.send(wire)
        return await caller.whole()
