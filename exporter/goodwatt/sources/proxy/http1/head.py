"""Heads of HTTP/1.1 messages: read strictly, and written anew for the next hop.

What is read loosely by one of two readers in a row lets somebody smuggle a request past the other. So whatever the
grammar does not allow is refused, and what says where a body ends is always written by us, from what we understood.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Field = tuple[bytes, bytes]

FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~\x80-\xff]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n\0]*))?")
_ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]*(/[^#]*|\?[^#]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")

_OF_ONE_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OURS = frozenset({b"host", b"content-length", b"x-forwarded-for", b"via"})
_LENGTH_NAME = frozenset({b"content-length"})
END = b"\r\n\r\n"


class BadMessage(Exception):
    """A message that is not passed on; `status` is what its sender is told, `str` why, in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Body(NamedTuple):
    """Where a body ends: after `length` bytes, with its last chunk, or (neither) with the connection."""

    length: int | None = None
    chunked: bool = False


NO_BODY = Body(0)
UNTIL_CLOSE = Body()


@dataclass(frozen=True, slots=True)
class RequestHead:
    """`target` is in origin form, as the client encoded it. `fields` are all of them, in order, as they came."""

    method: bytes
    target: bytes
    fields: tuple[Field, ...]
    body: Body
    version_11: bool
    keeps: bool  # whether the client wants to go on using the connection

    def first(self, name: bytes) -> bytes | None:
        """The first value of a field, by its name in small letters."""
        return first(self.fields, name)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def wants_websocket(self) -> bool:
        """Whether it asks to leave HTTP, which is not passed on. Other upgrades may be ignored, and are."""
        return b"websocket" in (self.first(b"upgrade") or b"").lower()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """`body` already takes the request's method into account."""

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    body: Body
    keeps: bool

    def first(self, name: bytes) -> bytes | None:
        """The first value of a field, by its name in small letters."""
        return first(self.fields, name)


def first(fields: Iterable[Field], name: bytes) -> bytes | None:
    """The first value of a field, by its name in small letters."""
    return next((value for key, value in fields if key.lower() == name), None)


def read_request(text: bytes) -> RequestHead:
    """`text` ends before the empty line. Raises BadMessage."""
    start, *lines = text.split(b"\r\n")
    found = _REQUEST.fullmatch(start)
    if found is None:
        raise BadMessage(400, "the first line is no HTTP/1.1 request line")
    method, target, version_11 = found[1], found[2], found[3] == b"1"
    fields = _fields(lines)
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) > 1 or (version_11 and not hosts):
        raise BadMessage(400, "there must be one Host header")
    options = _options(fields)
    keeps = b"close" not in options if version_11 else b"keep-alive" in options
    return RequestHead(
        method, _origin_form(method, target), fields, _request_body(fields, version_11), version_11, keeps
    )


def read_response(text: bytes, method: bytes) -> ResponseHead:
    """The answer to a request of that method; `text` ends before the empty line. Raises BadMessage."""
    start, *lines = text.split(b"\r\n")
    found = _STATUS.fullmatch(start)
    if found is None:
        raise BadMessage(502, "its answer is not HTTP/1.1")
    status, version_11 = int(found[2]), found[1] == b"1"
    fields = _fields(lines, 502)
    body = _response_body(fields, status, method)
    options = _options(fields)
    keeps = (b"close" not in options if version_11 else b"keep-alive" in options) and body != UNTIL_CLOSE
    return ResponseHead(status, found[3] or b"", fields, body, keeps)


def write_request(head: RequestHead, host: bytes, prefix: bytes, client: bytes) -> bytes:
    """The head for the server behind us: its own Host, and who asked in X-Forwarded-*."""
    named = {name.lower() for name, _ in head.fields}
    before = b", ".join(value for name, value in head.fields if name.lower() == b"x-forwarded-for")
    via = b", ".join(value for name, value in head.fields if name.lower() == b"via")
    target = head.target if head.target == b"*" else prefix + head.target
    lines = [b"%s %s HTTP/1.1" % (head.method, target), b"Host: " + host]
    lines += _passed(head.fields, _OURS)
    lines.append(b"X-Forwarded-For: " + (before + b", " + client if before else client))
    if b"x-forwarded-proto" not in named:
        lines.append(b"X-Forwarded-Proto: http")
    if b"x-forwarded-host" not in named and head.first(b"host"):
        lines.append(b"X-Forwarded-Host: " + (head.first(b"host") or b""))
    lines.append(b"Via: " + (via + b", " if via else b"") + b"1.1 goodwatt")
    if head.body.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.body.length or head.first(b"content-length") is not None:
        lines.append(b"Content-Length: %d" % (head.body.length or 0))
    return b"\r\n".join(lines) + END


def write_response(head: ResponseHead, *, chunked: bool, closes: bool) -> bytes:
    """The head for the client, which is told that the connection closes, and (`chunked`) that the body is in chunks."""
    may_tell = head.body.length is not None and head.status >= 200 and head.status != 204
    passed = _passed(_with_one_length(head.fields), frozenset() if may_tell else _LENGTH_NAME)
    lines = [b"HTTP/1.1 %d %s" % (head.status, head.reason), *passed]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
    if closes:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + END


def _passed(fields: Iterable[Field], leave_out: frozenset[bytes]) -> list[bytes]:
    kept = tuple(fields)
    dropped = _OF_ONE_HOP | (_options(kept) - _LENGTH_NAME) | leave_out
    return [b"%s: %s" % field for field in kept if field[0].lower() not in dropped]


def _with_one_length(fields: Iterable[Field]) -> Iterator[Field]:
    """A second Content-Length, which says the same as the first, is left out."""
    told = False
    for name, value in fields:
        is_length = name.lower() in _LENGTH_NAME
        if not (is_length and told):
            yield name, value
        told |= is_length


def _fields(lines: Iterable[bytes], status: int = 400) -> tuple[Field, ...]:
    fields = []
    for line in lines:
        found = FIELD.fullmatch(line)
        if found is None:
            raise BadMessage(status, "a header line is malformed")
        fields.append((found[1], found[2].rstrip(b" \t")))
    return tuple(fields)


def _options(fields: Iterable[Field]) -> frozenset[bytes]:
    """What the Connection headers name, in small letters."""
    joined = b",".join(value for name, value in fields if name.lower() == b"connection")
    return frozenset(option.strip().lower() for option in joined.split(b",")) - {b""} if joined else frozenset()


def _origin_form(method: bytes, target: bytes) -> bytes:
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise BadMessage(400, "the request's target is no path")
    rest = found[1] or b"/"
    return rest if rest.startswith(b"/") else b"/" + rest


def _lengths(fields: Iterable[Field], status: int) -> int | None:
    found = [value for name, value in fields if name.lower() == b"content-length"]
    if not found:
        return None
    if len(set(found)) > 1 or not _LENGTH.fullmatch(found[0]):
        raise BadMessage(status, "Content-Length is not one number")
    return int(found[0])


def _codings(fields: Iterable[Field], status: int) -> bool:
    """Whether the body is in chunks, the only transfer coding that is understood."""
    found = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if found and found != [b"chunked"]:
        raise BadMessage(status, "Transfer-Encoding is something else than chunked")
    return bool(found)


def _request_body(fields: tuple[Field, ...], version_11: bool) -> Body:
    length, chunked = _lengths(fields, 400), _codings(fields, 501)
    if chunked and (length is not None or not version_11):
        raise BadMessage(400, "the end of the body is told in two ways")
    return Body(None, True) if chunked else Body(length or 0)


def _response_body(fields: tuple[Field, ...], status: int, method: bytes) -> Body:
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return NO_BODY
    length, chunked = _lengths(fields, 502), _codings(fields, 502)
    if chunked:
        return Body(None, True)
    return UNTIL_CLOSE if length is None else Body(length)
