"""A client of streams that measures each request on its own socket, as close to the bytes as a client can be."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.real.traffic import QUESTIONS

PATIENCE_SECONDS = 240.0  # the server has two threads, and waits for the slower one at every step


@dataclass(frozen=True)
class Measured:
    """One request as its client saw it; tokens are those of the answer's own usage."""

    ttft: float
    tpot: float | None
    e2e: float
    prompt: int
    cached: int
    generated: int


class _Connection(asyncio.Protocol):
    """Notes when which bytes came."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.pieces: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.began = time.monotonic()
        transport.write(self._wire)

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.monotonic(), data))
        if data.endswith(b"0\r\n\r\n"):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


def chat(model: str, number: int) -> dict[str, Any]:
    """A streamed chat of 8 to 24 tokens that reports its usage."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": f"{number}. {QUESTIONS[number % len(QUESTIONS)]}"}],
        "max_tokens": 8 + 5 * number % 17,
        "seed": number,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def measured(url: str, body: dict[str, Any]) -> Measured:
    """One chat on a connection of its own."""
    parts, content = urlsplit(url), json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    wire = f"{head}Connection: close\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: _Connection(wire), parts.hostname, parts.port)
    try:
        await asyncio.wait_for(connection.over, PATIENCE_SECONDS)
    finally:
        connection.transport.abort()
    return _read(connection)


def _read(connection: _Connection) -> Measured:
    """Every event has the time of the piece in which it ended."""
    held, times, used = b"", [], None
    for at, piece in connection.pieces:
        *lines, held = (held + piece).split(b"\n")
        for line in lines:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            used = event.get("usage") or used
            if any(choice["delta"].get("content") for choice in event["choices"]):
                times.append(at)
    assert used is not None and times, connection.pieces
    tokens = used["completion_tokens"]
    details = used.get("prompt_tokens_details") or {}
    return Measured(
        times[0] - connection.began,
        (times[-1] - times[0]) / (tokens - 1) if tokens > 1 else None,
        connection.pieces[-1][0] - connection.began,
        used["prompt_tokens"],
        details.get("cached_tokens") or 0,
        tokens,
    )


async def load(url: str, model: str, numbers: Sequence[int], concurrency: int) -> list[Measured]:
    """So many at once until all are done."""
    gate = asyncio.Semaphore(concurrency)

    async def one(number: int) -> Measured:
        async with gate:
            return await measured(url, chat(model, number))

    return await asyncio.gather(*(one(number) for number in numbers))
