"""Which upstream connections are reused."""

import asyncio

import pytest

from goodwatt.settings.sources import TlsSection
from goodwatt.sources.http.credentials import ServerTrust
from goodwatt.sources.proxy.exchange import Exchange
from goodwatt.sources.proxy.http1.head import parse_request
from goodwatt.sources.proxy.upstream import Origin, Upstream, UpstreamPool
from tests.fakes.openai_server import plain


class Wire(asyncio.Transport):
    """A connection of which a test says in which state it is."""

    def __init__(self, *, unsent: int = 0, closing: bool = False) -> None:
        super().__init__()
        self.unsent, self.closing, self.written = unsent, closing, b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Asker:
    """A client whose request is whole."""

    is_slow = False
    kept: bool | None = None

    def write(self, wire: bytes) -> None: ...

    def pause_request(self, paused: bool) -> None: ...

    def request_complete(self) -> bool:
        return True

    def reply_error(self, status: int, why: str) -> None:
        raise AssertionError(status, why)

    def abort_response(self, *, framed: bool) -> None:
        raise AssertionError(framed)

    def response_done(self, *, keep_alive: bool) -> None:
        self.kept = keep_alive


def idle(wire: Wire) -> tuple[UpstreamPool, Upstream]:
    pool = UpstreamPool("a", Origin.of("http://h:1"), 1.0, ServerTrust("a", TlsSection()))
    upstream = Upstream(pool)
    upstream.connection_made(wire)
    pool.release(upstream)
    return pool, upstream


def test_a_connection_that_is_ending_is_not_used() -> None:
    """The server has closed it, and the loop will tell so in a moment: nothing is written to it any more."""
    pool, upstream = idle(Wire())
    assert pool.take_idle() is upstream
    pool, _ = idle(Wire(closing=True))
    assert pool.take_idle() is None


@pytest.mark.parametrize("unsent", [0, 1])
async def test_a_connection_is_kept_only_if_the_server_took_the_whole_request(unsent: int) -> None:
    """One that answered before may never read the rest, and the next request would wait behind it."""
    pool, upstream = idle(wire := Wire(unsent=unsent))
    asker = Asker()
    head = parse_request(b"POST /v1/files HTTP/1.1\r\nHost: h")
    exchange = Exchange(asker, head, b"request", pool, recorder=None, largest_head=1024)
    exchange.start()
    upstream.data_received(plain(b"{}"))
    assert (asker.kept, wire.written, wire.closing) == (True, b"request", bool(unsent))
    assert pool.take_idle() is (None if unsent else upstream)
