"""An answer's bytes, in any pieces, as the JSON messages in it. Memory is bounded: too much is not read on."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

MAX_EVENT_BYTES = 1024 * 1024  # bytes of a line or event; a chunk with many log probabilities has some 10 KB
MAX_WHOLE_BYTES = 2 * 1024 * 1024  # bytes of an answer in one piece, kept until it is whole and read at one go
MAX_INFLATED_BYTES = 256 * 1024 * 1024
_INFLATED_AT_ONCE = 256 * 1024
_DONE = b"[DONE]"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
END_OF_STREAM: dict[str, object] = {"type": "message_stop"}  # what OpenAI's `[DONE]` says, as a message


class UnreadableResponse(Exception):
    """What comes cannot be measured: too large, or damaged. It is passed on all the same."""


class Reader(Protocol):
    """Yields each message as soon as its last byte is there. Raises UnreadableResponse."""

    def feed(self, piece: bytes) -> Iterator[object]:
        """The messages that end within this piece."""
        ...

    def end(self) -> Iterator[object]:
        """What is left once the answer is whole."""
        ...


class _Lines:
    """Splits into lines, which end with LF or CRLF. Holds at most one that has not ended."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end within this piece, without their ends."""
        *lines, rest = piece.split(b"\n")
        if lines and self._buffer:
            lines[0] = bytes(self._buffer) + lines[0]
            self._buffer.clear()
        self._buffer += rest
        if len(self._buffer) > MAX_EVENT_BYTES:
            self._buffer.clear()
            raise UnreadableResponse("a line without end")
        return lines

    def rest(self) -> bytes:
        """A last line without an end."""
        return bytes(self._buffer)


class SseReader:
    """Server-sent events whose data is JSON. `error:` lines, which older llama.cpp writes, are errors."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._event = bytearray()
        self._mark = _BYTE_ORDER_MARK  # may stand before the first line

    def feed(self, piece: bytes) -> Iterator[object]:
        """One message an event. An event ends with an empty line."""
        for line in self._lines.feed(piece):
            yield from self._line(line.rstrip(b"\r"))

    def end(self) -> Iterator[object]:
        """An event that lacks only its empty line counts."""
        yield from self._line(self._lines.rest().rstrip(b"\r"))
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[object]:
        if self._mark:
            line, self._mark = line.removeprefix(self._mark), b""
        if line.startswith(b"data:"):
            self._event += line[5:] + b"\n"
            if len(self._event) > MAX_EVENT_BYTES:
                self._event.clear()
                raise UnreadableResponse("an event without end")
        elif line.startswith(b"error:"):
            yield {"error": True}
        elif not line and self._event:
            event = bytes(self._event).strip()
            self._event.clear()
            yield END_OF_STREAM if event == _DONE else _json(event)


class NdjsonReader:
    """One JSON message a line."""

    def __init__(self) -> None:
        self._lines = _Lines()

    def feed(self, piece: bytes) -> Iterator[object]:
        """One message a line."""
        for line in self._lines.feed(piece):
            if line.strip():
                yield _json(line)

    def end(self) -> Iterator[object]:
        """A last line without an end counts."""
        if self._lines.rest().strip():
            yield _json(self._lines.rest())


class WholeReader:
    """One JSON message in all."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[object]:
        """None yet."""
        self._buffer += piece
        if len(self._buffer) > MAX_WHOLE_BYTES:
            self._buffer.clear()
            raise UnreadableResponse("an answer that is too large")
        return iter(())

    def end(self) -> Iterator[object]:
        """The message."""
        yield _json(self._buffer)


class GzipReader:
    """Reads what was compressed with gzip."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._stream = zlib.decompressobj(wbits=31)
        self._inflated = 0

    def feed(self, piece: bytes) -> Iterator[object]:
        """The messages in what these bytes inflate to, a bounded part at a time."""
        while piece:
            try:
                plain = self._stream.decompress(piece, _INFLATED_AT_ONCE)
            except zlib.error:
                raise UnreadableResponse("damaged gzip") from None
            piece = self._stream.unconsumed_tail
            self._inflated += len(plain)
            if self._inflated > MAX_INFLATED_BYTES:
                raise UnreadableResponse("gzip that inflates without end")
            yield from self._inner.feed(plain)

    def end(self) -> Iterator[object]:
        """What the inner reader has left."""
        yield from self._inner.end()


STREAMS: Mapping[str, Callable[[], Reader]] = {"text/event-stream": SseReader, "application/x-ndjson": NdjsonReader}


def reader(content_type: str, encoding: str) -> Reader | None:
    """For an answer of these headers; None where nothing can be read of it."""
    kind = WholeReader if content_type == "application/json" else STREAMS.get(content_type)
    if kind is None or encoding not in ("", "identity", "gzip", "x-gzip"):
        return None
    return GzipReader(kind()) if "gzip" in encoding else kind()


def _json(text: bytes | bytearray) -> object:
    try:
        return json.loads(text.decode())  # of bytes it would first guess the encoding
    except (ValueError, RecursionError):
        raise UnreadableResponse("something that is no JSON") from None
