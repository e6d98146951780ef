"""Measures one proxied request: when its tokens arrived, how many there were, and how it ended."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from goodwatt.model.engine import Outcome
from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.proxy.http1.head import ResponseHead
from goodwatt.sources.proxy.recording.api_formats import MessageFacts, read_message
from goodwatt.sources.proxy.recording.stream import STREAMS, Reader, UnreadableResponse, reader

# Matches a key of the body itself: inside a string its quotes are escaped, and other keys of this name hold no string.
_MODEL = re.compile(rb'(?<!\\)"model"[ \t\r\n]*:[ \t\r\n]*"((?:[^"\\\x00-\x1f]){1,256})"')
_KEPT = 600  # bytes of the request's body searched again together with the next piece

_TOO_MANY, _CLIENT_LEFT = 429, 499


@dataclass(frozen=True, slots=True)
class ArrivalTime:
    """When a request's head was complete."""

    monotonic_seconds: float
    unix_seconds: float


class RequestRecorder:
    """Builds the record of one request. It keeps numbers and the bytes of an incomplete message, but no text."""

    def __init__(self, server: str, arrival: ArrivalTime) -> None:
        self.requested_model = ""  # empty until known
        self._server = server
        self._arrival = arrival
        self._tail = b""
        self._status: int | None = None
        self._reader: Reader | None = None
        self._streams = False
        self._readable = True
        self._failed = self._finished = False
        self._first: float | None = None
        self._last = 0.0
        self._pieces = 0  # messages with content
        self._choices = 1
        self._facts = MessageFacts()

    def add_request_body(self, piece: bytes) -> None:
        """Search a piece of the request's body for the model's name."""
        if self.requested_model:
            return
        look = self._tail + piece
        found = _MODEL.search(look) if b'"model"' in look else None
        if found is not None:
            self.requested_model, self._tail = found[1].decode("utf-8", "replace"), b""
        else:
            self._tail = look[-_KEPT:]

    def start_response(self, head: ResponseHead) -> None:
        """Choose a reader for the response from its head."""
        self._tail = b""
        self._status = head.status
        kind, encoding = (_word(head.first_value(name)) for name in (b"content-type", b"content-encoding"))
        self._streams = kind in STREAMS
        self._reader = reader(kind, encoding)
        self._readable = self._reader is not None

    def add_response_body(self, pieces: Iterable[bytes], now: float) -> None:
        """Read pieces of the response's body that arrived at `now` (monotonic seconds)."""
        if self._reader is None:
            return
        try:
            for piece in pieces:
                for message in self._reader.feed(piece):
                    self._note(read_message(message), now)
        except UnreadableResponse:
            self._reader, self._readable = None, False

    def finish(self, *, whole: bool, gone: bool, now: float) -> RequestRecord | Dropped:
        """Return the record, or why there is none. `whole`: the response is complete; `gone`: the client left."""
        if whole:
            self._read_rest(now)
        outcome = self._outcome(whole, gone)
        if isinstance(outcome, Dropped):
            return outcome
        generated, estimated = self._generated()
        return RequestRecord(
            server=self._server,
            model=self._facts.model or self.requested_model,
            arrival_unix_seconds=self._arrival.unix_seconds,
            e2e_seconds=now - self._arrival.monotonic_seconds,
            outcome=outcome,
            ttft_seconds=None if self._first is None else self._first - self._arrival.monotonic_seconds,
            tpot_seconds=self._tpot(generated),
            prompt_tokens=self._facts.prompt,
            cached_prompt_tokens=self._facts.cached,
            generated_tokens=generated,
            tokens_estimated=estimated,
            streaming=None if self._reader is None else self._streams,
        )

    def finish_rejected(self, status: int, now: float) -> RequestRecord | Dropped:
        """Like `finish`, for a request that the proxy answered itself with `status`."""
        self._status = status
        return self.finish(whole=False, gone=False, now=now)

    def _read_rest(self, now: float) -> None:
        if self._reader is None:
            return
        try:
            for message in self._reader.end():
                self._note(read_message(message), now)
        except UnreadableResponse:
            self._readable = False

    def _note(self, facts: MessageFacts, now: float) -> None:
        if facts.content and self._streams:
            if self._first is None:
                self._first = now
            self._last = now
            self._pieces += 1
        self._choices = max(self._choices, facts.choices)
        self._failed |= facts.failed
        self._finished |= facts.finished
        if facts.model is not None or facts.prompt is not None or facts.generated is not None:
            before = self._facts
            self._facts = MessageFacts(
                model=facts.model or before.model,
                prompt=before.prompt if facts.prompt is None else facts.prompt,
                cached=before.cached if facts.cached is None else facts.cached,
                generated=before.generated if facts.generated is None else facts.generated,
            )

    def _outcome(self, whole: bool, gone: bool) -> Outcome | Dropped:
        status = self._status
        if status is None:
            return Outcome.CANCELLED if gone else Outcome.ERROR
        if not 200 <= status < 300:
            return _of_status(status)
        if self._failed:
            return Outcome.ERROR
        if gone and not self._finished:
            return Outcome.CANCELLED
        if not self._readable:
            return Dropped.PARTIAL
        return Outcome.SUCCESS if whole or gone else Outcome.ERROR

    def _generated(self) -> tuple[int | None, bool]:
        """Return the tokens and whether they are an estimate of one per message with content."""
        if self._facts.generated is not None:
            return self._facts.generated, False
        return (self._pieces, True) if self._streams else (None, False)

    def _tpot(self, generated: int | None) -> float | None:
        """Choices stream in parallel, so each gets an equal share of the tokens."""
        share = 0.0 if generated is None else generated / self._choices
        return None if self._first is None or share < 2 else (self._last - self._first) / (share - 1)

    @property
    def awaits_end(self) -> bool:
        """Whether this is a readable stream without its end marker so far."""
        return self._streams and self._readable and not self._finished


def _of_status(status: int) -> Outcome | Dropped:
    """Map a status other than 2xx: 5xx and 429 are errors of the service, any other 4xx is the client's."""
    if status >= 500 or status == _TOO_MANY:
        return Outcome.ERROR
    return Outcome.CANCELLED if status == _CLIENT_LEFT else Dropped.REFUSED


def _word(value: bytes | None) -> str:
    """Return a header's value in lower case, without parameters."""
    return (value or b"").partition(b";")[0].strip().lower().decode("latin-1")
