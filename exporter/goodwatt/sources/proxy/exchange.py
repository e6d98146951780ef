"""Forwards one request and its response, in both directions, as the bytes arrive."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from goodwatt.sources.proxy.http1.body import BodyDecoder, UntilCloseDecoder, body_decoder
from goodwatt.sources.proxy.http1.head import (
    HEAD_END,
    BadMessage,
    RequestHead,
    ResponseHead,
    parse_response,
    serialize_response,
)
from goodwatt.sources.proxy.recording.recorder import RequestRecorder
from goodwatt.sources.proxy.upstream import Upstream, UpstreamPool

MAX_REPLAY_BYTES = 64 * 1024  # buffered while there is no connection, or while a resend is possible
_LAST_CHUNK = b"0\r\n\r\n"
_SAFE = (b"GET", b"HEAD", b"OPTIONS")


class Downstream(Protocol):
    """The client's side of an exchange."""

    is_slow: bool  # the client's send buffer is full

    def write(self, wire: bytes) -> None:
        """Send bytes of the response."""
        ...

    def pause_request(self, paused: bool) -> None:
        """Pause or resume reading the request's body."""
        ...

    def request_complete(self) -> bool:
        """Whether the whole request has been received."""
        ...

    def reply_error(self, status: int, why: str) -> None:
        """Send an error from the proxy itself. Only before any byte of a response."""
        ...

    def response_done(self, *, keep_alive: bool) -> None:
        """Note that the whole response has been written."""
        ...

    def abort_response(self, *, framed: bool) -> None:
        """Close so that a truncated response is not taken for a whole one. `framed`: its framing already shows that."""
        ...


class Exchange:
    """One request and its response. `wire` is the head to forward; without a `recorder` nothing is recorded."""

    def __init__(
        self,
        client: Downstream,
        head: RequestHead,
        wire: bytes,
        pool: UpstreamPool,
        *,
        recorder: RequestRecorder | None,
        largest_head: int,
    ) -> None:
        self.last_activity: float = 0.0  # when something last moved
        self.recorder = recorder
        self._client = client
        self._head = head
        self._pool = pool
        self._largest_head = largest_head
        self._sent: list[bytes] | None = [wire]  # what a new connection is sent first; None: it can no longer be
        self._sent_bytes = len(wire)
        self._upstream: Upstream | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._answer: ResponseHead | None = None
        self._begun = b""  # of the answer's head
        self._body: BodyDecoder = UntilCloseDecoder()
        self._in_chunks = False  # of ours, around a body that would end with the connection
        self._bare = False  # the client is given the content without its chunks
        self._keep_alive = False
        self.is_finished = False

    def start(self) -> None:
        """Send the request over an idle connection or a new one."""
        upstream = self._pool.take_idle()
        if upstream is None:
            self._connect()
        else:
            self._attach(upstream)

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._connected())

    async def _connected(self) -> None:
        try:
            upstream = await self._pool.connect()
        except BadMessage as failure:
            self._connecting = None
            self._fail(failure.status, str(failure))
            return
        self._connecting = None
        if self.is_finished:
            upstream.close()
        else:
            self._attach(upstream)

    def _attach(self, upstream: Upstream) -> None:
        self._upstream, upstream.exchange = upstream, self
        upstream.read(on=not self._client.is_slow)
        upstream.write(b"".join(self._sent or ()))
        if not upstream.reused:
            self._sent = None
        self._client.pause_request(False)

    def send(self, content: Iterable[bytes]) -> None:
        """Forward content of the request's body."""
        for piece in content:
            if self.recorder is not None:
                self.recorder.add_request_body(piece)
            self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if self._head.body.chunked else piece)

    def send_end(self) -> None:
        """Forward the end of the request's body."""
        if self._head.body.chunked:
            self._send(_LAST_CHUNK)

    def _send(self, wire: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(wire)
        if self._sent is not None:
            self._sent.append(wire)
            self._sent_bytes += len(wire)
            if self._sent_bytes > MAX_REPLAY_BYTES:
                self._send_no_more_ahead()

    def _send_no_more_ahead(self) -> None:
        if self._upstream is None:
            self._client.pause_request(True)
        else:
            self._sent = None

    def pause_request(self, paused: bool) -> None:
        """Pause or resume the request, as the server's send buffer fills or drains."""
        self._client.pause_request(paused)

    def pause_response(self, is_slow: bool) -> None:
        """Pause or resume the response, as the client's send buffer fills or drains."""
        if self._upstream is not None:
            self._upstream.read(on=not is_slow)

    def response_received(self, wire: bytes) -> None:
        """Forward bytes from the server to the client and the recorder."""
        self.last_activity = now = asyncio.get_running_loop().time()
        try:
            heads = b""
            while self._answer is None:
                self._begun += wire
                end = self._begun.find(HEAD_END)
                if end < 0 or end > self._largest_head:
                    self._wait_for_head(heads)
                    return
                wire, self._begun = self._begun[end + len(HEAD_END) :], self._begun[:end]
                heads += self._take_head()
            self._take_body(heads, wire, now)
        except BadMessage as bad:
            self._broken(f"{self._pool.origin.shown} sent an invalid response: {bad}")

    def _wait_for_head(self, heads: bytes) -> None:
        if len(self._begun) > self._largest_head:
            raise BadMessage(502, "its header is longer than max_header_bytes")
        if heads:
            self._client.write(heads)

    def _take_head(self) -> bytes:
        """Return the head for the client. After a 1xx the next head is expected, otherwise the body."""
        head = parse_response(self._begun, self._head.method)
        self._begun = b""
        if head.status == 101:
            raise BadMessage(502, "it switches protocols without a request to do so")
        if head.status < 200:
            self._sent = None  # the server has begun
            return serialize_response(head, chunked=False, closes=False) if self._head.is_http11 else b""
        self._answer, self._sent = head, None
        self._body = body_decoder(head.body, 502)
        framed = head.body.length is not None
        self._in_chunks = not framed and not head.body.chunked and self._head.is_http11
        self._bare = head.body.chunked and not self._head.is_http11
        self._keep_alive = self._head.is_http11 and self._head.keep_alive and self._client.request_complete()
        if self.recorder is not None:
            self.recorder.start_response(head)
        return serialize_response(head, chunked=not framed and self._head.is_http11, closes=not self._keep_alive)

    def _take_body(self, heads: bytes, wire: bytes, now: float) -> None:
        used, content = self._body.decode(wire) if wire else (0, [])
        if self._in_chunks:
            out = heads + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in content)
        elif self._bare:
            out = heads + b"".join(content)
        else:
            out = heads + (wire if used == len(wire) else wire[:used]) if heads else wire[:used]
        if out:
            self._client.write(out)
        if self.recorder is not None and content:
            self.recorder.add_response_body(content, now)
        if self._body.done:
            self._finish(reusable=used == len(wire))

    def _finish(self, *, reusable: bool) -> None:
        """The response is complete."""
        assert self._answer is not None
        self.is_finished = True
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            if reusable and self._answer.keep_alive and self._client.request_complete() and upstream.request_flushed:
                upstream.read(on=True)
                self._pool.release(upstream)
            else:
                upstream.close()
        self._client.response_done(keep_alive=self._keep_alive)

    def upstream_closed(self, *, reset: bool) -> None:
        """Note that the server closed the connection: retry, finish or fail."""
        upstream, self._upstream = self._upstream, None
        if self._answer is None:
            if upstream is not None and upstream.reused and not self._begun and self._may_repeat():
                self._connect()
            else:
                self._broken(f"{self._pool.origin.shown} closed the connection without a response; see its log")
        elif self._ends_well(reset):
            if self._in_chunks:
                self._client.write(_LAST_CHUNK)
            self._finish(reusable=False)
        else:
            self._broken("")

    def _may_repeat(self) -> bool:
        """Whether the request can be resent safely after an idle connection closed under it."""
        return self._sent is not None and (self._head.method in _SAFE or self.recorder is not None)

    def _ends_well(self, reset: bool) -> bool:
        """Whether a body that ends with the connection is complete. A stream must have sent its end marker."""
        awaits_end = self.recorder is not None and self.recorder.awaits_end
        return isinstance(self._body, UntilCloseDecoder) and not reset and not awaits_end

    def _broken(self, why: str) -> None:
        """Handle a server failure: answer with the reason before a response, cut the connection within one."""
        if self._answer is None:
            self._fail(502, why)
            return
        self.abandon()
        framed = self._head.is_http11 or self._answer.body.length is not None
        self._client.abort_response(framed=framed)

    def _fail(self, status: int, why: str) -> None:
        if not self.is_finished:
            self.abandon()
            self._client.reply_error(status, why)

    def timed_out(self, seconds: float) -> None:
        """Give up after `seconds` without traffic: 504 or 408 before a response, a cut within one."""
        if self.response_started:
            self.abandon()
            self._client.abort_response(framed=False)
        elif self._client.request_complete():
            self._fail(504, f"{self._pool.origin.shown} sent nothing for {seconds:g} s")
        else:
            self._fail(408, f"no more of the request's body arrived for {seconds:g} s")

    @property
    def response_started(self) -> bool:
        """Whether the client has received the response's head."""
        return self._answer is not None

    def abandon(self) -> None:
        """Close the upstream connection immediately, without any event."""
        self.is_finished = True
        if self._connecting is not None:
            self._connecting.cancel()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
