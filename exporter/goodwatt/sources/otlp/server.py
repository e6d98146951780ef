"""OTLP over HTTP: POST /v1/traces, on a listener of its own."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from goodwatt.model.request import Dropped
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.sources.otlp import json_codec, protobuf_codec
from goodwatt.sources.otlp.body import Bodies, Refused
from goodwatt.sources.otlp.intake import Intake
from goodwatt.sources.otlp.protobuf_codec import Protobuf
from goodwatt.sources.otlp.span import Malformed, Span
from goodwatt.web.address import Address, cannot_listen
from goodwatt.web.connection_limits import HttpLog
from goodwatt.web.listener import SHUTDOWN_SECONDS, Listening

log = logging.getLogger(__name__)

PATH = "/v1/traces"
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_LINGER_SECONDS = 0.5  # for what a refused client still sends
_STATUS_CODES = {400: 3, 408: 4, 413: 8, 429: 8}  # google.rpc.Code: INVALID_ARGUMENT, DEADLINE_EXCEEDED, ...
_MALFORMED = 400


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to write OTLP."""

    content_type: str
    spans: Callable[[bytes], Iterator[Span]]
    answer: Callable[[int, str], bytes]
    status: Callable[[int, str], bytes]


IN_JSON = Encoding(JSON, json_codec.spans, json_codec.encoded_answer, json_codec.encoded_status)


def encodings(protobuf: Callable[[], Protobuf] = Protobuf) -> dict[str, Encoding]:
    """By content type, what can be read here: protobuf needs a package of its own."""
    known: dict[str, Encoding] = {JSON: IN_JSON}
    try:
        codec = protobuf()
    except ImportError:
        return known
    known[PROTOBUF] = Encoding(PROTOBUF, codec.spans, codec.encoded_answer, protobuf_codec.encoded_status)
    return known


class TraceServer:
    """Hands the spans of every request to the intake. Whatever else a client sends, it gets an answer."""

    def __init__(
        self,
        intake: Intake,
        bodies: Bodies,
        known: dict[str, Encoding],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake = intake
        self._bodies = bodies
        self._known = known
        self._clock = clock
        self._listening: Listening | None = None
        self.lacks_protobuf = False  # somebody sent it, and the package is missing

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._listening is None else self._listening.port

    async def start(self, address: Address) -> None:
        """Listen. Raises SourceUnavailable where it cannot; then it may be tried again."""
        server = web.Server(
            self._answered, access_log=None, logger=HttpLog(log), lingering_time=_LINGER_SECONDS, auto_decompress=False
        )
        listening = Listening(web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS), self._clock)
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
            self._listening.asked(request)
        response = await self._answer(request)
        response.headers["Server"] = "goodwatt"
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path != PATH:
            return _text(404, f"spans are taken at {PATH}")
        if request.method != "POST":
            return _text(405, "use POST", {"Allow": "POST"})
        encoding = self._known.get(request.content_type)
        if encoding is None:
            return self._unknown(request.content_type)
        try:
            async with self._bodies.opened(request) as body:
                taken = await self._intake.take(encoding.spans(body))
        except Refused as refused:
            return self._refused(encoding, refused)
        except Malformed as wrong:
            return self._refused(encoding, Refused(_MALFORMED, str(wrong)))
        return web.Response(body=encoding.answer(*taken), content_type=encoding.content_type)

    def _unknown(self, content_type: str) -> web.Response:
        if content_type != PROTOBUF:
            return _text(415, f"Content-Type must be {PROTOBUF} or {JSON}")
        self.lacks_protobuf = True
        self._intake.drop(Dropped.MALFORMED)
        return _text(415, protobuf_codec.MISSING)

    def _refused(self, encoding: Encoding, refused: Refused) -> web.Response:
        self._intake.drop(Dropped.OVERFLOW if refused.status in (413, 429) else Dropped.MALFORMED)
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
