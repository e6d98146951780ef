"""A client's connection to the proxy: its requests, one after the other."""

import asyncio
import json
import socket
import struct
from http import HTTPStatus

from goodwatt.sources.proxy.context import TOO_MANY, Desk
from goodwatt.sources.proxy.exchange import Exchange
from goodwatt.sources.proxy.http1.body import Decoder, decoder
from goodwatt.sources.proxy.http1.head import END, BadMessage, RequestHead, read_request, write_request

FIRST_BYTES_SECONDS = 30.0  # for a request's head, from the first byte of the connection
IDLE_SECONDS = 300.0  # between two requests
LINGER_SECONDS = 1.0  # for a client to read an answer that came before its request was whole
_EMPTY_LINE = b"\n\n"  # the end of a header to loose readers; such a client would wait for nothing
_RESET = struct.pack("ii", 1, 0)


class Client(asyncio.Protocol):
    """One connection. It reads on while an answer is under way, to notice at once when the client leaves."""

    def __init__(self, desk: Desk) -> None:
        self.is_slow = False
        self._desk = desk
        self._transport: asyncio.Transport | None = None
        self._address = b"unknown"
        self._exchange: Exchange | None = None
        self._upload: Decoder | None = None  # the request's body, while it is not whole
        self._uploaded = 0
        self._held = b""  # not yet looked at
        self._is_full = False  # holds as much as it may of requests to come
        self._deaf = False  # has been answered for the last time
        self._since = desk.clock()
        self._patience = FIRST_BYTES_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]).encode() if peer else b"unknown"
        full = len(self._desk.clients) >= self._desk.most_clients
        self._desk.clients.add(self)
        if full:
            self._reply(TOO_MANY, "too many connections; try again")

    def data_received(self, data: bytes) -> None:
        """Asyncio's."""
        if self._deaf:
            return
        if self._upload is not None:
            self._take_upload(data)
        else:
            self._held += data
        self._go_on()

    def _go_on(self) -> None:
        """Begin the next request if its head is there, or wait with what is there."""
        while self._exchange is None and self._held and not self._deaf:
            if not self._take_head():
                return
        self._is_full = self._exchange is not None and len(self._held) > self._desk.section.max_header_bytes
        if self._is_full:
            self._stream.pause_reading()

    def _take_head(self) -> bool:
        """Whether there was one."""
        most = self._desk.section.max_header_bytes
        self._held = self._held.lstrip(b"\r\n")
        end = self._held.find(END)
        if end > most or (end < 0 and len(self._held) > most):
            self._reply(431, f"the header is longer than max_header_bytes ({most})")
        elif end < 0 and _EMPTY_LINE in self._held:
            self._reply(400, "lines must end with carriage return and line feed")
        elif end >= 0:
            text, self._held = self._held[:end], self._held[end + len(END) :]
            try:
                self._begin(read_request(text))
            except BadMessage as bad:
                self._reply(bad.status, str(bad))
        return end >= 0

    def _begin(self, head: RequestHead) -> None:
        desk, meter = self._desk, self._desk.meter(head)
        objection = desk.objection(head)
        if objection is not None:
            if meter is not None:
                desk.tally.put(meter.refused(objection.status, desk.clock()))
            raise objection
        origin = desk.pool.origin
        wire = write_request(head, origin.host_field, origin.prefix, self._address)
        exchange = Exchange(self, head, wire, desk.pool, meter=meter, largest_head=desk.section.max_header_bytes)
        exchange.touched = desk.clock()
        self._exchange, self._uploaded = exchange, 0
        desk.running += 1
        if meter is not None:
            desk.tally.begun(meter)
        body = decoder(head.body)
        self._upload = None if body.done else body
        exchange.start()
        if self._upload is not None and self._held:
            wire, self._held = self._held, b""
            self._take_upload(wire)

    def _take_upload(self, wire: bytes) -> None:
        exchange, upload = self._exchange, self._upload
        assert exchange is not None
        assert upload is not None
        try:
            used, content = upload.take(wire)
            self._uploaded += sum(map(len, content))
            if self._uploaded > self._desk.section.max_body_bytes:
                raise BadMessage(413, f"the body is longer than max_body_bytes ({self._desk.section.max_body_bytes})")
        except BadMessage as bad:
            self._break_off(exchange, bad)
            return
        exchange.touched = self._desk.clock()
        exchange.send(content)
        if upload.done:
            self._upload, self._held = None, wire[used:]
            exchange.send_end()
            self.hold(False)

    def _break_off(self, exchange: Exchange, bad: BadMessage) -> None:
        exchange.abandon()
        if exchange.has_begun:
            self.cut(framed=False)
        else:
            self.refused(bad.status, str(bad))

    def eof_received(self) -> None:
        """Asyncio's. Who sends nothing more is taken to have left, as clients do that close their connection."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Asyncio's."""
        self._desk.clients.discard(self)
        self._leave()

    def _leave(self) -> None:
        self._deaf = True
        if self._exchange is not None:
            self._exchange.abandon()
            self._ended(whole=False, gone=True)

    def pause_writing(self) -> None:
        """Asyncio's."""
        self.is_slow = True
        if self._exchange is not None:
            self._exchange.slow(True)

    def resume_writing(self) -> None:
        """Asyncio's."""
        self.is_slow = False
        if self._exchange is not None:
            self._exchange.touched = self._desk.clock()
            self._exchange.slow(False)

    def write(self, wire: bytes) -> None:
        """Send, now or as soon as the client takes it."""
        self._stream.write(wire)

    def hold(self, held: bool) -> None:
        """Whether to take no more of the request for now."""
        if held and self._upload is not None:
            self._stream.pause_reading()
        elif not held and not self._is_full:
            self._stream.resume_reading()

    def sent_whole(self) -> bool:
        """Whether the request's body has ended."""
        return self._upload is None

    def refused(self, status: int, why: str) -> None:
        """Answer in the proxy's own name."""
        self._ended(status=status)
        self._reply(status, why)

    def done(self, *, keeps: bool) -> None:
        """The answer has been written whole."""
        self._ended(whole=True)
        if not keeps or self._desk.closes:
            self._linger()
            return
        self._since, self._patience, self._is_full = self._desk.clock(), IDLE_SECONDS, False
        self._stream.resume_reading()
        self._go_on()

    def cut(self, *, framed: bool) -> None:
        """The answer breaks off. A client that cannot tell by the framing is reset."""
        self._ended(whole=False, gone=self.is_slow)
        self._deaf = True
        if framed:
            self._stream.close()
        else:
            self._reset()

    def sweep(self, now: float) -> None:
        """Cut what has not moved for too long."""
        if self._exchange is not None:
            seconds = self._desk.section.silence_timeout_seconds
            if now - self._exchange.touched > seconds:
                self._exchange.stale(seconds)
        elif now - self._since > self._patience:
            self._reset()

    def close_if_idle(self) -> None:
        """Where no answer is under way."""
        if self._exchange is None:
            self._stream.close()

    def abort(self) -> None:
        """At once, whatever is under way."""
        self._leave()
        self._stream.abort()

    def _ended(self, *, whole: bool = False, gone: bool = False, status: int | None = None) -> None:
        exchange, self._exchange = self._exchange, None
        self._since, self._patience = self._desk.clock(), FIRST_BYTES_SECONDS
        if exchange is None:
            return
        self._desk.running -= 1
        meter, now = exchange.meter, self._desk.clock()
        if meter is not None:
            told = meter.ends(whole=whole, gone=gone, now=now) if status is None else meter.refused(status, now)
            self._desk.tally.ended(meter, told)

    def _reply(self, status: int, why: str) -> None:
        self.write(own_answer(status, f"goodwatt: {why}"))
        self._linger()

    def _linger(self) -> None:
        """Send nothing more. A client that is still sending would lose the answer if the connection closed at once."""
        self._deaf, self._held = True, b""
        self._stream.resume_reading()
        if self._stream.can_write_eof():
            self._stream.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._stream.close)

    def _reset(self) -> None:
        connection = self._stream.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._stream.abort()

    @property
    def _stream(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport


def own_answer(status: int, message: str) -> bytes:
    """In the form of OpenAI's errors, which clients know how to show. The connection closes after it."""
    body = json.dumps({"error": {"message": message, "type": "goodwatt_proxy", "param": None, "code": status}}).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json"]
    lines += ["Retry-After: 1"] if status == TOO_MANY else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body
