"""Finds where the body of an HTTP/1.1 message ends, incrementally."""

import re
from typing import Protocol

from goodwatt.sources.proxy.http1.head import FIELD_LINE, BadMessage, BodyFraming

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
_MAX_LINE_BYTES = 4096
_MAX_TRAILER_BYTES = 16 * 1024


class BodyDecoder(Protocol):
    """Decodes one body. `done` becomes true at its end; later bytes belong to the next message."""

    done: bool

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Return how many of these bytes belong to the body, and the content in them. Raises BadMessage."""
        ...


def body_decoder(body: BodyFraming, status: int = 400) -> BodyDecoder:
    """Return the decoder for one body. `status` is that of BadMessage: 400 for a client's body, 502 for a server's."""
    if body.chunked:
        return ChunkedDecoder(status)
    return UntilCloseDecoder() if body.length is None else LengthDecoder(body.length)


class LengthDecoder:
    """Decodes a body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Consume at most the bytes that are left."""
        piece = wire if len(wire) <= self._left else wire[: self._left]
        self._left -= len(piece)
        self.done = self._left == 0
        return len(piece), [piece] if piece else []


class UntilCloseDecoder:
    """Decodes a body that ends when the connection closes, so `done` is never set."""

    done = False

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Consume everything."""
        return len(wire), [wire]


class ChunkedDecoder:
    """Decodes a chunked body. Buffers at most one incomplete line."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._left = 0  # bytes left in the current chunk
        self._line = b""  # an incomplete line
        self._state = self._size
        self._trailers = 0
        self.done = False

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Consume at most up to the empty line after the last chunk and its trailers."""
        pieces: list[bytes] = []
        at = 0
        while at < len(wire) and not self.done:
            if self._left:
                piece = wire[at : at + self._left]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
                continue
            at = self._take_line(wire, at)
        return at, pieces

    def _take_line(self, wire: bytes, at: int) -> int:
        """Read one line from `at`, or buffer its start. Returns the next position."""
        end = wire.find(b"\n", at)
        if end < 0:
            self._line += wire[at:]
            if len(self._line) > _MAX_LINE_BYTES:
                raise self._bad()
            return len(wire)
        line = self._line + wire[at:end] if self._line else wire[at:end]
        self._line = b""
        if not line.endswith(b"\r") or len(line) > _MAX_LINE_BYTES:
            raise self._bad()
        self._state(line[:-1])
        return end + 1

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise self._bad()
        self._left = int(found[1], 16)
        self._state = self._after if self._left else self._trailer

    def _after(self, line: bytes) -> None:
        if line:
            raise self._bad()
        self._state = self._size

    def _trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > _MAX_TRAILER_BYTES or (line and not FIELD_LINE.fullmatch(line)):
            raise self._bad()
        self.done = not line

    def _bad(self) -> BadMessage:
        return BadMessage(self._status, "its chunked body is malformed")
