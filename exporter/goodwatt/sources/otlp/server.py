"""OTLP over HTTP: POST /v1/traces, on a listener of its own."""

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
_LINGER_SECONDS = 0.5  # for what a refused client still sends
_STATUS_CODES = {400: 3, 408: 4, 413: 8, 429: 8}  # google.rpc.Code: INVALID_ARGUMENT, DEADLINE_EXCEEDED, ...
_MALFORMED = 400


@dataclass(frozen=True, slots=True)
class OtlpEncoding:
    """One way to write OTLP."""

    content_type: str
    spans: Callable[[bytes], Iterator[Span]]
    answer: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


JSON_ENCODING = OtlpEncoding(JSON_CONTENT_TYPE, json_codec.json_spans, json_codec.json_response, json_codec.json_status)


def supported_encodings(protobuf: Callable[[], ProtobufCodec] = ProtobufCodec) -> dict[str, OtlpEncoding]:
    """By content type, what can be read here: protobuf needs a package of its own."""
    known: dict[str, OtlpEncoding] = {JSON_CONTENT_TYPE: JSON_ENCODING}
    try:
        codec = protobuf()
    except ImportError:
        return known
    known[PROTOBUF_CONTENT_TYPE] = OtlpEncoding(
        PROTOBUF_CONTENT_TYPE, codec.spans, codec.encoded_answer, protobuf_codec.protobuf_status
    )
    return known


class TraceServer:
    """Hands the spans of every request to the intake. Whatever else a client sends, it gets an answer."""

    def __init__(
        self,
        queue: SpanQueue,
        bodies: BodyReader,
        known: dict[str, OtlpEncoding],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._bodies = bodies
        self._known = known
        self._clock = clock
        self._listening: WebListener | None = None
        self.lacks_protobuf = False  # somebody sent it, and the package is missing

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._listening is None else self._listening.port

    async def start(self, address: Address) -> None:
        """Listen. Raises SourceUnavailable where it cannot; then it may be tried again."""
        server = web.Server(
            self._answered,
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
        """Stop within about SHUTDOWN_SECONDS, whatever clients do; harmless when repeated."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening.aclose()

    async def _answered(self, request: web.BaseRequest) -> web.Response:
        if self._listening is not None:
            self._listening.request_received(request)
        response = await self._answer(request)
        response.headers["Server"] = "goodwatt"
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path != TRACES_PATH:
            return _text(404, f"spans are taken at {TRACES_PATH}")
        if request.method != "POST":
            return _text(405, "use POST", {"Allow": "POST"})
        encoding = self._known.get(request.content_type)
        if encoding is None:
            return self._unknown(request.content_type)
        try:
            async with self._bodies.opened(request) as body:
                taken = await self._queue.take(encoding.spans(body))
        except RejectedRequest as refused:
            return self._refused(encoding, refused)
        except MalformedOtlp as wrong:
            return self._refused(encoding, RejectedRequest(_MALFORMED, str(wrong)))
        return web.Response(body=encoding.answer(*taken), content_type=encoding.content_type)

    def _unknown(self, content_type: str) -> web.Response:
        if content_type != PROTOBUF_CONTENT_TYPE:
            return _text(415, f"Content-Type must be {PROTOBUF_CONTENT_TYPE} or {JSON_CONTENT_TYPE}")
        self.lacks_protobuf = True
        self._queue.drop(Dropped.MALFORMED)
        return _text(415, protobuf_codec.PROTOBUF_MISSING)

    def _refused(self, encoding: OtlpEncoding, refused: RejectedRequest) -> web.Response:
        self._queue.drop(Dropped.OVERFLOW if refused.status in (413, 429) else Dropped.MALFORMED)
        headers = {} if refused.again_seconds is None else {"Retry-After": str(refused.again_seconds)}
        if refused.status not in _STATUS_CODES:
            return _text(refused.status, refused.why, headers)
        body = encoding.status(_STATUS_CODES[refused.status], refused.why)
        response = web.Response(body=body, status=refused.status, headers=headers, content_type=encoding.content_type)
        if refused.status != _MALFORMED:
            response.force_close()  # what is left of the body is not worth reading
        return response


def _text(status: int, line: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=line + "\n", status=status, headers=headers)
