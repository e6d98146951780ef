"""Parses heads of HTTP/1.1 messages strictly and rewrites them for the next hop.

If a proxy and the server behind it disagree about where a message ends, a client can smuggle requests past the proxy.
So anything outside the grammar is rejected, and the proxy writes the framing headers itself, from what it parsed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Field = tuple[bytes, bytes]

FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~\x80-\xff]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n\0]*))?")
_ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]*(/[^#]*|\?[^#]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")

_HOP_BY_HOP = frozenset(
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
_REWRITTEN = frozenset({b"host", b"content-length", b"x-forwarded-for", b"via"})
_LENGTH_NAME = frozenset({b"content-length"})
HEAD_END = b"\r\n\r\n"


class BadMessage(Exception):
    """A message that is not forwarded. `status` is the HTTP status for the client, `str()` the reason in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class BodyFraming(NamedTuple):
    """How a body ends: after `length` bytes, with the last chunk, or (neither) when the connection closes."""

    length: int | None = None
    chunked: bool = False


NO_BODY = BodyFraming(0)
UNTIL_CLOSE = BodyFraming()


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request's head. `target` is in origin form, as the client encoded it; `fields` are unchanged and in order."""

    method: bytes
    target: bytes
    fields: tuple[Field, ...]
    body: BodyFraming
    is_http11: bool
    keep_alive: bool  # whether the client may reuse the connection

    def first_value(self, name: bytes) -> bytes | None:
        """Return the first value of a field, or None. `name` is in lower case."""
        return first_value(self.fields, name)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def is_websocket_upgrade(self) -> bool:
        """Whether it asks for a WebSocket, which is not supported. Any other Upgrade is ignored, as HTTP allows."""
        return b"websocket" in (self.first_value(b"upgrade") or b"").lower()


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A response's head. `body` takes the request's method into account (HEAD)."""

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    body: BodyFraming
    keep_alive: bool

    def first_value(self, name: bytes) -> bytes | None:
        """Return the first value of a field, or None. `name` is in lower case."""
        return first_value(self.fields, name)


def first_value(fields: Iterable[Field], name: bytes) -> bytes | None:
    """Return the first value of a field, or None. `name` is in lower case."""
    return next((value for key, value in fields if key.lower() == name), None)


def parse_request(text: bytes) -> RequestHead:
    """Parse a head; `text` ends before the empty line. Raises BadMessage."""
    start, *lines = text.split(b"\r\n")
    found = _REQUEST.fullmatch(start)
    if found is None:
        raise BadMessage(400, "the first line is not an HTTP/1.1 request line")
    method, target, is_http11 = found[1], found[2], found[3] == b"1"
    fields = _fields(lines)
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) > 1 or (is_http11 and not hosts):
        raise BadMessage(400, "there must be one Host header")
    options = _options(fields)
    keep_alive = b"close" not in options if is_http11 else b"keep-alive" in options
    return RequestHead(
        method, _origin_form(method, target), fields, _request_body(fields, is_http11), is_http11, keep_alive
    )


def parse_response(text: bytes, method: bytes) -> ResponseHead:
    """Parse the head of the response to `method`; `text` ends before the empty line. Raises BadMessage."""
    start, *lines = text.split(b"\r\n")
    found = _STATUS.fullmatch(start)
    if found is None:
        raise BadMessage(502, "its response is not HTTP/1.1")
    status, is_http11 = int(found[2]), found[1] == b"1"
    fields = _fields(lines, 502)
    body = _response_body(fields, status, method)
    options = _options(fields)
    keep_alive = (b"close" not in options if is_http11 else b"keep-alive" in options) and body != UNTIL_CLOSE
    return ResponseHead(status, found[3] or b"", fields, body, keep_alive)


def serialize_request(head: RequestHead, host: bytes, prefix: bytes, client: bytes) -> bytes:
    """Return the head for the upstream: its own Host, and the client in X-Forwarded-*."""
    named = {name.lower() for name, _ in head.fields}
    before = b", ".join(value for name, value in head.fields if name.lower() == b"x-forwarded-for")
    via = b", ".join(value for name, value in head.fields if name.lower() == b"via")
    target = head.target if head.target == b"*" else prefix + head.target
    lines = [b"%s %s HTTP/1.1" % (head.method, target), b"Host: " + host]
    lines += _end_to_end_fields(head.fields, _REWRITTEN)
    lines.append(b"X-Forwarded-For: " + (before + b", " + client if before else client))
    if b"x-forwarded-proto" not in named:
        lines.append(b"X-Forwarded-Proto: http")
    if b"x-forwarded-host" not in named and head.first_value(b"host"):
        lines.append(b"X-Forwarded-Host: " + (head.first_value(b"host") or b""))
    lines.append(b"Via: " + (via + b", " if via else b"") + b"1.1 goodwatt")
    if head.body.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.body.length or head.first_value(b"content-length") is not None:
        lines.append(b"Content-Length: %d" % (head.body.length or 0))
    return b"\r\n".join(lines) + HEAD_END


def serialize_response(head: ResponseHead, *, chunked: bool, closes: bool) -> bytes:
    """Return the head for the client. `chunked` and `closes` add Transfer-Encoding and Connection: close."""
    may_tell = head.body.length is not None and head.status >= 200 and head.status != 204
    passed = _end_to_end_fields(_with_one_length(head.fields), frozenset() if may_tell else _LENGTH_NAME)
    lines = [b"HTTP/1.1 %d %s" % (head.status, head.reason), *passed]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked")
    if closes:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + HEAD_END


def _end_to_end_fields(fields: Iterable[Field], leave_out: frozenset[bytes]) -> list[bytes]:
    kept = tuple(fields)
    dropped = _HOP_BY_HOP | (_options(kept) - _LENGTH_NAME) | leave_out
    return [b"%s: %s" % field for field in kept if field[0].lower() not in dropped]


def _with_one_length(fields: Iterable[Field]) -> Iterator[Field]:
    """Drop a repeated Content-Length, which is known to be equal."""
    seen = False
    for name, value in fields:
        is_length = name.lower() in _LENGTH_NAME
        if not (is_length and seen):
            yield name, value
        seen |= is_length


def _fields(lines: Iterable[bytes], status: int = 400) -> tuple[Field, ...]:
    fields = []
    for line in lines:
        found = FIELD_LINE.fullmatch(line)
        if found is None:
            raise BadMessage(status, "a header line is malformed")
        fields.append((found[1], found[2].rstrip(b" \t")))
    return tuple(fields)


def _options(fields: Iterable[Field]) -> frozenset[bytes]:
    """Return the names in the Connection headers, in lower case."""
    joined = b",".join(value for name, value in fields if name.lower() == b"connection")
    return frozenset(option.strip().lower() for option in joined.split(b",")) - {b""} if joined else frozenset()


def _origin_form(method: bytes, target: bytes) -> bytes:
    if target.startswith(b"/") or (target == b"*" and method == b"OPTIONS"):
        return target
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        raise BadMessage(400, "the request target is not a path")
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
    """Whether the body is chunked, the only supported transfer coding."""
    found = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
    if found and found != [b"chunked"]:
        raise BadMessage(status, "only Transfer-Encoding: chunked is supported")
    return bool(found)


def _request_body(fields: tuple[Field, ...], is_http11: bool) -> BodyFraming:
    length, chunked = _lengths(fields, 400), _codings(fields, 501)
    if chunked and (length is not None or not is_http11):
        raise BadMessage(400, "the length of the body is ambiguous")
    return BodyFraming(None, True) if chunked else BodyFraming(length or 0)


def _response_body(fields: tuple[Field, ...], status: int, method: bytes) -> BodyFraming:
    if method == b"HEAD" or status < 200 or status in (204, 304):
        return NO_BODY
    length, chunked = _lengths(fields, 502), _codings(fields, 502)
    if chunked:
        return BodyFraming(None, True)
    return UNTIL_CLOSE if length is None else BodyFraming(length)
