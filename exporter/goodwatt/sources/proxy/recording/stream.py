"""Splits a response into its JSON messages, however its bytes are cut. Memory is bounded."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

MAX_EVENT_BYTES = 1024 * 1024  # bytes of a line or event; a chunk with many log probabilities has some 10 KB
MAX_WHOLE_BYTES = 2 * 1024 * 1024  # bytes of a response in one piece, buffered until complete
MAX_INFLATED_BYTES = 256 * 1024 * 1024
_INFLATED_AT_ONCE = 256 * 1024
_DONE = b"[DONE]"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
END_OF_STREAM: dict[str, object] = {"type": "message_stop"}  # what OpenAI's `[DONE]` says, as a message


class UnreadableResponse(Exception):
    """The response is too large or damaged and cannot be measured. It is forwarded anyway."""


class Reader(Protocol):
    """Yields each message as soon as it is complete. Raises UnreadableResponse."""

    def feed(self, piece: bytes) -> Iterator[object]:
        """Yield the messages that end in this piece."""
        ...

    def end(self) -> Iterator[object]:
        """Yield what is left when the response is complete."""
        ...


class _Lines:
    """Splits bytes into lines that end with LF or CR LF. Buffers at most one incomplete line."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without LF."""
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
        """Return the last, unterminated line."""
        return bytes(self._buffer)


class SseReader:
    """Reads server-sent events with JSON data. `error:` lines, which older llama.cpp writes, are errors."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._event = bytearray()
        self._mark = _BYTE_ORDER_MARK  # allowed before the first line

    def feed(self, piece: bytes) -> Iterator[object]:
        """Yield one message per event. An empty line ends an event."""
        for line in self._lines.feed(piece):
            yield from self._line(line.rstrip(b"\r"))

    def end(self) -> Iterator[object]:
        """Yield a last event that lacks only its empty line."""
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
    """Reads newline-delimited JSON."""

    def __init__(self) -> None:
        self._lines = _Lines()

    def feed(self, piece: bytes) -> Iterator[object]:
        """Yield one message per line."""
        for line in self._lines.feed(piece):
            if line.strip():
                yield _json(line)

    def end(self) -> Iterator[object]:
        """Yield a last, unterminated line."""
        if self._lines.rest().strip():
            yield _json(self._lines.rest())


class WholeReader:
    """Reads a response that is one JSON message."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterator[object]:
        """Buffer the piece; yields nothing. Raises UnreadableResponse above MAX_WHOLE_BYTES."""
        self._buffer += piece
        if len(self._buffer) > MAX_WHOLE_BYTES:
            self._buffer.clear()
            raise UnreadableResponse("an answer that is too large")
        return iter(())

    def end(self) -> Iterator[object]:
        """Yield the message."""
        yield _json(self._buffer)


class GzipReader:
    """Decompresses gzip for another reader."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner
        self._stream = zlib.decompressobj(wbits=31)
        self._inflated = 0

    def feed(self, piece: bytes) -> Iterator[object]:
        """Yield the messages in the decompressed bytes, decompressing a bounded part at a time."""
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
        """Yield what the inner reader has left."""
        yield from self._inner.end()


STREAMS: Mapping[str, Callable[[], Reader]] = {"text/event-stream": SseReader, "application/x-ndjson": NdjsonReader}


def reader(content_type: str, encoding: str) -> Reader | None:
    """Return a reader for a response with these headers, or None if it cannot be read."""
    kind = WholeReader if content_type == "application/json" else STREAMS.get(content_type)
    if kind is None or encoding not in ("", "identity", "gzip", "x-gzip"):
        return None
    return GzipReader(kind()) if "gzip" in encoding else kind()


def _json(text: bytes | bytearray) -> object:
    try:
        return json.loads(text.decode())  # given bytes, json would first detect the encoding
    except (ValueError, RecursionError):
        raise UnreadableResponse("something that is not JSON") from None
