"""An inference server on a raw socket that runs a test's script and records the requests it received."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from goodwatt.sources.proxy.http1.body import body_decoder
from goodwatt.sources.proxy.http1.head import RequestHead, parse_request
from tests.fakes.accepting import accepting


@dataclass
class Received:
    """One request as received on the wire."""

    head: RequestHead
    text: bytes
    body: bytearray = field(default_factory=bytearray)


class Talk:
    """The server's side of one request."""

    def __init__(self, server: "OpenAiServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.received: Received | None = None

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a separate write."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def events(self, events: Iterable[bytes], pause: float = 0.0, head: bytes = b"") -> None:
        """Send a chunked event stream, one chunk per event."""
        await self.send(head or STREAM_HEAD)
        for event in events:
            await self.send(chunk(event))
            await asyncio.sleep(pause)
        await self.send(b"0\r\n\r\n")

    def kill(self) -> None:
        """Abort the connection immediately."""
        self.writer.transport.abort()


Script = Callable[[Talk], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def plain(body: bytes, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A complete response with Content-Length."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def event(message: object) -> bytes:
    return b"data: " + (message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n\n"


def chat_events(tokens: int, model: str = "m", usage: tuple[int, int, int] | None = None) -> list[bytes]:
    """A chat stream: the role, the tokens, the end, and usage as (prompt, cached, generated) if given."""

    def part(delta: object, finish: str | None = None) -> bytes:
        return event({"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    events = [part({"role": "assistant", "content": ""})]
    events += [part({"content": f"t{n} "}) for n in range(tokens)]
    events.append(part({}, "stop"))
    if usage is not None:
        prompt, cached, generated = usage
        usage_counts = {
            "prompt_tokens": prompt,
            "completion_tokens": generated,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        events.append(event({"model": model, "choices": [], "usage": usage_counts}))
    return [*events, event(b"[DONE]")]


def streams(tokens: int = 3, usage: tuple[int, int, int] | None = None, pause: float = 0.0) -> Script:
    async def script(talk: Talk) -> None:
        await talk.events(chat_events(tokens, usage=usage), pause)

    return script


def answers(wire: bytes) -> Script:
    async def script(talk: Talk) -> None:
        await talk.send(wire)

    return script


@dataclass
class OpenAiServer:
    """Runs `script` for each request once its body is complete, or with `eager` once its head is."""

    script: Script
    eager: bool = False
    keep_alive: bool = True
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    left: int = 0  # clients that disconnected during a response
    open: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        try:
            while True:
                await self._one(Talk(self, reader, writer))
                if not self.keep_alive or writer.is_closing():
                    return
        except asyncio.IncompleteReadError:
            pass
        except ConnectionError:
            self.left += 1
        finally:
            self.open.discard(writer)
            writer.close()

    async def _one(self, talk: Talk) -> None:
        text = await talk.reader.readuntil(b"\r\n\r\n")
        talk.received = Received(parse_request(text[:-4]), text)
        self.received.append(talk.received)
        if not self.eager:
            await self.read_body(talk)
        await self.script(talk)

    async def read_body(self, talk: Talk) -> None:
        assert talk.received is not None
        body = body_decoder(talk.received.head.body)
        while not body.done:
            wire = await talk.reader.read(65536)
            if not wire:
                raise ConnectionResetError
            _, content = body.decode(wire)
            for piece in content:
                talk.received.body += piece


@asynccontextmanager
async def openai_server(
    script: Script | None = None, *, eager: bool = False, keep_alive: bool = True, port: int = 0
) -> AsyncIterator[OpenAiServer]:
    """A server on a loopback port; by default it streams three tokens."""
    fake = OpenAiServer(script or streams(), eager, keep_alive)
    async with accepting(fake.serve, port=port, backlog=2048) as fake.port:
        yield fake
