"""Where the body of an HTTP/1.1 message ends, told from its bytes as they come."""

import re
from typing import Protocol

from goodwatt.sources.proxy.http1.head import FIELD_LINE, BadMessage, BodyFraming

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
_MAX_LINE_BYTES = 4096
_MAX_TRAILER_BYTES = 16 * 1024


class BodyDecoder(Protocol):
    """Bytes in, content out. `done` is set once the body has ended; what follows is not of it."""

    done: bool

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """How many of these bytes are of the body, and the pieces of content among them. Raises BadMessage."""
        ...


def body_decoder(body: BodyFraming, status: int = 400) -> BodyDecoder:
    """For one body; `status` is whom BadMessage blames: 400 the client, 502 the server."""
    if body.chunked:
        return ChunkedDecoder(status)
    return UntilCloseDecoder() if body.length is None else LengthDecoder(body.length)


class LengthDecoder:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Up to the length."""
        piece = wire if len(wire) <= self._left else wire[: self._left]
        self._left -= len(piece)
        self.done = self._left == 0
        return len(piece), [piece] if piece else []


class UntilCloseDecoder:
    """A body that ends with the connection; whoever sees it end says so."""

    done = False

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Everything."""
        return len(wire), [wire]


class ChunkedDecoder:
    """A body in chunks. Holds at most one line that has not ended yet."""

    def __init__(self, status: int) -> None:
        self._status = status
        self._left = 0  # bytes of the chunk's content that are still to come
        self._line = b""  # the beginning of a line whose end is still to come
        self._state = self._size
        self._trailers = 0
        self.done = False

    def decode(self, wire: bytes) -> tuple[int, list[bytes]]:
        """Up to the empty line after the last chunk."""
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
        """Where to go on after one line, or after its beginning where its end is still to come."""
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
        return BadMessage(self._status, "its body is not in proper chunks")
