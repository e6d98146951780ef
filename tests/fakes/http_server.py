"""An HTTP server on a raw socket that responds, or fails to, exactly as a test specifies."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.fakes.accepting import accepting

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """One response. `raw` replaces status line, headers and body; `hang` and `trickle_seconds` delay it."""

    body: bytes = b""
    status: int = 200
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: bool = False  # never responds
    trickle_seconds: float | None = None  # pause between single bytes of the body
    content_length: int | None = None  # Content-Length, if not the body's
    close: bool = False  # closes the connection afterwards without announcing it

    def head(self) -> bytes:
        length = len(self.body) if self.content_length is None else self.content_length
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Type: {self.content_type}", f"Content-Length: {length}"]
        return "\r\n".join([*lines, *(f"{k}: {v}" for k, v in self.headers.items()), "", ""]).encode()


def page(text: str) -> Reply:
    return Reply(text.encode())


def gzipped(content: bytes) -> Reply:
    return Reply(gzip.compress(content, 1), headers={"Content-Encoding": "gzip"})


@dataclass
class Request:
    path: str
    headers: dict[str, str]


@dataclass
class FakeServer:
    """`routes` maps a path to its reply and may change while the server runs. Other paths get 404."""

    routes: dict[str, Reply]
    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (reply := await self._next(reader)) is not None:
                await _send(reply, writer)
                if reply.close or reply.raw is not None:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client disconnected, as many tests intend
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> Reply | None:
        start = await reader.readexactly(1)
        if start == b"\x16":  # a TLS handshake
            return Reply(raw=b"HTTP/1.1 400 Bad Request\r\n\r\n")
        head = start + await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").strip().split("\r\n")
        path = first.split(" ")[1]
        self.requests.append(Request(path, dict(line.split(": ", 1) for line in rest)))
        return self.routes.get(path.split("?")[0], Reply(b"no such page", status=404))


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    if reply.hang:
        await asyncio.sleep(3600)
    writer.write(reply.head() if reply.raw is None else reply.raw)
    if reply.trickle_seconds is None:
        writer.write(reply.body)
    else:
        for byte in reply.body:
            await asyncio.sleep(reply.trickle_seconds)
            writer.write(bytes([byte]))
            await writer.drain()
    await writer.drain()


@asynccontextmanager
async def serving(
    routes: Mapping[str, Reply] | Reply | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeServer]:
    """A server on a free loopback port; a single reply is served at /metrics."""
    if isinstance(routes, Reply):
        routes = {"/metrics": routes}
    fake = FakeServer(dict(routes or {}), scheme="https" if tls else "http")
    async with accepting(fake.serve, tls=tls) as fake.port:
        yield fake


def unused_port() -> int:
    """A loopback port without a listener."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
