"""OTLP/HTTP receiver: POST /v1/traces on a separate listener."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from goodwatt.model.request import Dropped
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.otlp import json_codec, protobuf_codec
from goodwatt.sources.otlp.body import BodyReader, RejectedRequest
from goodwatt.sources.otlp.protobuf_codec import ProtobufCodec
from goodwatt.sources.otlp.span import MalformedOtlp, Span
from goodwatt.sources.otlp.span_queue import SpanQueue
from goodwatt.web.address import Address, cannot_listen
from goodwatt.web.connection_limits import WebServerLogger
from goodwatt.web.listener import LISTENER_CLOSE_SECONDS, WebListener

log = logging.getLogger(__name__)

TRACES_PATH = "/v1/traces"
PROTOBUF_CONTENT_TYPE, JSON_CONTENT_TYPE = "application/x-protobuf", "application/json"
_LINGER_SECONDS = 0.5  # keeps reading from a rejected client, so that it sees the response
_STATUS_CODES = {400: 3, 408: 4, 413: 8, 429: 8}  # google.rpc.Code: INVALID_ARGUMENT, DEADLINE_EXCEEDED, ...
_MALFORMED = 400


@dataclass(frozen=True, slots=True)
class OtlpEncoding:
    """One OTLP encoding: its content type, its decoder and its two response encoders."""

    content_type: str
    spans: Callable[[bytes], Iterator[Span]]
    response: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


JSON_ENCODING = OtlpEncoding(JSON_CONTENT_TYPE, json_codec.json_spans, json_codec.json_response, json_codec.json_status)


def supported_encodings(protobuf: Callable[[], ProtobufCodec] = ProtobufCodec) -> dict[str, OtlpEncoding]:
    """The available encodings by content type: JSON always, protobuf if its package is installed."""
    known: dict[str, OtlpEncoding] = {JSON_CONTENT_TYPE: JSON_ENCODING}
    try:
        codec = protobuf()
    except ImportError:
        return known
    known[PROTOBUF_CONTENT_TYPE] = OtlpEncoding(
        PROTOBUF_CONTENT_TYPE, codec.spans, codec.encoded_response, protobuf_codec.protobuf_status
    )
    return known


class TraceServer:
    """Puts the spans of every export into the queue. Every other request gets an error response."""

    def __init__(
        self,
        queue: SpanQueue,
        bodies: BodyReader,
        encodings: dict[str, OtlpEncoding],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._bodies = bodies
        self._encodings = encodings
        self._clock = clock
        self._listening: WebListener | None = None
        self.lacks_protobuf = False  # protobuf was received, but its package is missing

    @property
    def port(self) -> int | None:
        """The bound port; None while not listening."""
        return None if self._listening is None else self._listening.port

    async def start(self, address: Address) -> None:
        """Start listening. Raises SourceUnavailable(CANNOT_LISTEN); the call may be repeated."""
        server = web.Server(
            self._respond,
            access_log=None,
            logger=WebServerLogger(log),
            lingering_time=_LINGER_SECONDS,
            auto_decompress=False,
        )
        listening = WebListener(web.ServerRunner(server, shutdown_timeout=LISTENER_CLOSE_SECONDS), self._clock)
        try:
            await listening.start(address)
        except OSError as error:
            detail = f"otlp: {cannot_listen(address, error, 'otlp.listen')}"
            raise SourceUnavailable(Reason.CANNOT_LISTEN, detail) from None
        self._listening = listening

    async def aclose(self) -> None:
        """Stop within about LISTENER_CLOSE_SECONDS, whatever clients do. Safe to call twice."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.aclose()

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        if self._listening is not None:
            self._listening.request_received(request)
        response = await self._answer(request)
        response.headers["Server"] = "goodwatt"
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path != TRACES_PATH:
            return _text(404, f"not found; send spans to {TRACES_PATH}")
        if request.method != "POST":
            return _text(405, "use POST", {"Allow": "POST"})
        encoding = self._encodings.get(request.content_type)
        if encoding is None:
            return self._unsupported_type(request.content_type)
        try:
            async with self._bodies.opened(request) as body:
                outcome = await self._queue.put(encoding.spans(body))
        except RejectedRequest as rejected:
            return self._rejection(encoding, rejected)
        except MalformedOtlp as malformed:
            return self._rejection(encoding, RejectedRequest(_MALFORMED, str(malformed)))
        return web.Response(body=encoding.response(*outcome), content_type=encoding.content_type)

    def _unsupported_type(self, content_type: str) -> web.Response:
        if content_type != PROTOBUF_CONTENT_TYPE:
            return _text(415, f"Content-Type must be {PROTOBUF_CONTENT_TYPE} or {JSON_CONTENT_TYPE}")
        self.lacks_protobuf = True
        self._queue.drop(Dropped.MALFORMED)
        return _text(415, protobuf_codec.PROTOBUF_MISSING)

    def _rejection(self, encoding: OtlpEncoding, rejected: RejectedRequest) -> web.Response:
        self._queue.drop(Dropped.OVERFLOW if rejected.status in (413, 429) else Dropped.MALFORMED)
        headers = {} if rejected.retry_after_seconds is None else {"Retry-After": str(rejected.retry_after_seconds)}
        if rejected.status not in _STATUS_CODES:
            return _text(rejected.status, rejected.why, headers)
        body = encoding.status(_STATUS_CODES[rejected.status], rejected.why)
        response = web.Response(body=body, status=rejected.status, headers=headers, content_type=encoding.content_type)
        if rejected.status != _MALFORMED:
            response.force_close()  # skip the rest of the body
        return response


def _text(status: int, line: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=line + "\n", status=status, headers=headers)
