"""A client's connection to the proxy. Serves its requests one after the other."""

import asyncio
import json
import socket
import struct
from http import HTTPStatus

from goodwatt.sources.proxy.context import SERVICE_UNAVAILABLE, ProxyContext
from goodwatt.sources.proxy.exchange import Exchange
from goodwatt.sources.proxy.http1.body import BodyDecoder, body_decoder
from goodwatt.sources.proxy.http1.head import HEAD_END, BadMessage, RequestHead, parse_request, serialize_request

FIRST_BYTES_SECONDS = 30.0  # for a request's head, from when the connection opens
CLIENT_IDLE_SECONDS = 300.0  # between two requests
LINGER_SECONDS = 1.0  # for a client to read a response sent before its request was complete
_EMPTY_LINE = b"\n\n"  # lenient parsers end a header here; reject it rather than wait for an end that never arrives
_RESET = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """One connection. It keeps reading during a response, to notice at once when the client disconnects."""

    def __init__(self, context: ProxyContext) -> None:
        self.is_slow = False
        self._context = context
        self._transport: asyncio.Transport | None = None
        self._address = b"unknown"
        self._exchange: Exchange | None = None
        self._upload: BodyDecoder | None = None  # the request's body, while incomplete
        self._uploaded = 0
        self._buffer = b""  # not yet parsed
        self._is_full = False  # buffers as much of pipelined requests as it may
        self._ignores_input = False  # the last response has been sent
        self._waiting_since = context.clock()
        self._wait_limit = FIRST_BYTES_SECONDS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the transport (asyncio callback)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._address = str(peer[0]).encode() if peer else b"unknown"
        full = len(self._context.clients) >= self._context.max_clients
        self._context.clients.add(self)
        if full:
            self._reply(SERVICE_UNAVAILABLE, "too many connections; try again")

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client (asyncio callback)."""
        if self._ignores_input:
            return
        if self._upload is not None:
            self._take_upload(data)
        else:
            self._buffer += data
        self._start_next()

    def _start_next(self) -> None:
        """Start the next request if its head is complete."""
        while self._exchange is None and self._buffer and not self._ignores_input:
            if not self._take_head():
                return
        self._is_full = self._exchange is not None and len(self._buffer) > self._context.section.max_header_bytes
        if self._is_full:
            self._stream.pause_reading()

    def _take_head(self) -> bool:
        """Parse a head from the buffer. Returns whether there was a complete one."""
        most = self._context.section.max_header_bytes
        self._buffer = self._buffer.lstrip(b"\r\n")
        end = self._buffer.find(HEAD_END)
        if end > most or (end < 0 and len(self._buffer) > most):
            self._reply(431, f"the header is longer than max_header_bytes ({most})")
        elif end < 0 and _EMPTY_LINE in self._buffer:
            self._reply(400, "lines must end with CR LF")
        elif end >= 0:
            text, self._buffer = self._buffer[:end], self._buffer[end + len(HEAD_END) :]
            try:
                self._begin(parse_request(text))
            except BadMessage as bad:
                self._reply(bad.status, str(bad))
        return end >= 0

    def _begin(self, head: RequestHead) -> None:
        context, recorder = self._context, self._context.recorder_for(head)
        rejection = context.rejection(head)
        if rejection is not None:
            if recorder is not None:
                context.outbox.put(recorder.finish_rejected(rejection.status, context.clock()))
            raise rejection
        origin = context.pool.origin
        wire = serialize_request(head, origin.host_field, origin.prefix, self._address)
        exchange = Exchange(
            self, head, wire, context.pool, recorder=recorder, largest_head=context.section.max_header_bytes
        )
        exchange.last_activity = context.clock()
        self._exchange, self._uploaded = exchange, 0
        context.running += 1
        if recorder is not None:
            context.outbox.add_running(recorder)
        body = body_decoder(head.body)
        self._upload = None if body.done else body
        exchange.start()
        if self._upload is not None and self._buffer:
            wire, self._buffer = self._buffer, b""
            self._take_upload(wire)

    def _take_upload(self, wire: bytes) -> None:
        exchange, upload = self._exchange, self._upload
        assert exchange is not None
        assert upload is not None
        try:
            used, content = upload.decode(wire)
            self._uploaded += sum(map(len, content))
            if self._uploaded > self._context.section.max_body_bytes:
                raise BadMessage(
                    413, f"the body is longer than max_body_bytes ({self._context.section.max_body_bytes})"
                )
        except BadMessage as bad:
            self._reject_upload(exchange, bad)
            return
        exchange.last_activity = self._context.clock()
        exchange.send(content)
        if upload.done:
            self._upload, self._buffer = None, wire[used:]
            exchange.send_end()
            self.pause_request(False)

    def _reject_upload(self, exchange: Exchange, bad: BadMessage) -> None:
        exchange.abandon()
        if exchange.response_started:
            self.abort_response(framed=False)
        else:
            self.reply_error(bad.status, str(bad))

    def eof_received(self) -> None:
        """Treat a half-closed connection as a disconnect (asyncio callback)."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        """Release the connection (asyncio callback)."""
        self._context.clients.discard(self)
        self._leave()

    def _leave(self) -> None:
        self._ignores_input = True
        if self._exchange is not None:
            self._exchange.abandon()
            self._ended(whole=False, gone=True)

    def pause_writing(self) -> None:
        """Pause the other side (asyncio callback)."""
        self.is_slow = True
        if self._exchange is not None:
            self._exchange.pause_response(True)

    def resume_writing(self) -> None:
        """Resume the other side (asyncio callback)."""
        self.is_slow = False
        if self._exchange is not None:
            self._exchange.last_activity = self._context.clock()
            self._exchange.pause_response(False)

    def write(self, wire: bytes) -> None:
        """Send, or buffer until the client accepts it."""
        self._stream.write(wire)

    def pause_request(self, paused: bool) -> None:
        """Pause or resume reading the request's body."""
        if paused and self._upload is not None:
            self._stream.pause_reading()
        elif not paused and not self._is_full:
            self._stream.resume_reading()

    def request_complete(self) -> bool:
        """Whether the whole request has been received."""
        return self._upload is None

    def reply_error(self, status: int, why: str) -> None:
        """Send an error from the proxy itself and close."""
        self._ended(status=status)
        self._reply(status, why)

    def response_done(self, *, keep_alive: bool) -> None:
        """Finish the exchange and start the next request, or close."""
        self._ended(whole=True)
        if not keep_alive or self._context.closing:
            self._close_after_reply()
            return
        self._waiting_since, self._wait_limit, self._is_full = self._context.clock(), CLIENT_IDLE_SECONDS, False
        self._stream.resume_reading()
        self._start_next()

    def abort_response(self, *, framed: bool) -> None:
        """Cut the response. Resets the connection if the framing would not show the truncation."""
        self._ended(whole=False, gone=self.is_slow)
        self._ignores_input = True
        if framed:
            self._stream.close()
        else:
            self._reset()

    def sweep(self, now: float) -> None:
        """Close the connection if it has been silent for too long."""
        if self._exchange is not None:
            seconds = self._context.section.silence_timeout_seconds
            if now - self._exchange.last_activity > seconds:
                self._exchange.timed_out(seconds)
        elif now - self._waiting_since > self._wait_limit:
            self._reset()

    def close_if_idle(self) -> None:
        """Close the connection unless a response is in progress."""
        if self._exchange is None:
            self._stream.close()

    def abort(self) -> None:
        """Close immediately, even in the middle of a response."""
        self._leave()
        self._stream.abort()

    def _ended(self, *, whole: bool = False, gone: bool = False, status: int | None = None) -> None:
        exchange, self._exchange = self._exchange, None
        self._waiting_since, self._wait_limit = self._context.clock(), FIRST_BYTES_SECONDS
        if exchange is None:
            return
        self._context.running -= 1
        recorder, now = exchange.recorder, self._context.clock()
        if recorder is not None:
            ending = (
                recorder.finish(whole=whole, gone=gone, now=now)
                if status is None
                else recorder.finish_rejected(status, now)
            )
            self._context.outbox.finish(recorder, ending)

    def _reply(self, status: int, why: str) -> None:
        self.write(error_response(status, f"goodwatt: {why}"))
        self._close_after_reply()

    def _close_after_reply(self) -> None:
        """Close after a delay: a client that is still sending would lose the response if it closed at once."""
        self._ignores_input, self._buffer = True, b""
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


def error_response(status: int, message: str) -> bytes:
    """Return an error in the format of OpenAI's API, which clients can display. It closes the connection."""
    body = json.dumps({"error": {"message": message, "type": "goodwatt_proxy", "param": None, "code": status}}).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Content-Type: application/json"]
    lines += ["Retry-After: 1"] if status == SERVICE_UNAVAILABLE else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "", ""]).encode() + body
