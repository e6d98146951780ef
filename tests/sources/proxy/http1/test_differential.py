"""Compares the proxy's HTTP/1.1 parser with llhttp, the parser of Node.js.

What the proxy accepts, llhttp must accept too, with the same method, target, headers, body and end of message.
Being stricter is allowed. `LOOSER` lists every reason for which llhttp refuses a message that the proxy accepts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goodwatt.sources.proxy.http1.body import body_decoder
from goodwatt.sources.proxy.http1.head import (
    HEAD_END,
    UNTIL_CLOSE,
    BadMessage,
    BodyFraming,
    parse_request,
    parse_response,
    serialize_request,
    serialize_response,
)

Fields = tuple[tuple[bytes, bytes], ...]

LOOSER = {
    # A proxy forwards methods it does not know (RFC 9110, section 9.1); llhttp has a fixed list.
    "Invalid method encountered": "a method that is not registered",
    "Expected SOURCE method for ICE/x.x request": "an unregistered method, or one of another protocol",
    "Expected space after method": "an unregistered method that starts like a registered one",
    # The target is forwarded as the client encoded it, so the server decides.
    "Invalid char in url path": "a byte above 0x7f in the target",
    "Invalid char in url query": "a byte above 0x7f in the query",
    "Invalid characters in url": "a byte above 0x7f in the target",
    # Equal values are forwarded as one (RFC 9110, section 8.6).
    "Duplicate Content-Length": "the same Content-Length twice",
    "Content-Length already present": "the same Content-Length twice",
    # Only in responses: Transfer-Encoding wins and Content-Length is removed (RFC 9112, section 6.3).
    "Content-Length can't be present with Transfer-Encoding": "a response with both",
    "Transfer-Encoding can't be present with Content-Length": "a response with both",
    # A response to HEAD, a 1xx, a 204 and a 304 have no body, so their Content-Length is not read.
    "Empty Content-Length": "a response without a body",
    "Invalid character in Content-Length": "a response without a body",
    # Request bodies are chunked again. Whitespace after a size and the text of an extension carry no meaning.
    "Invalid character in chunk size": "whitespace after a chunk size",
    "Invalid character in chunk extensions": "an extension that is not a list of tokens",
    "Invalid character in chunk extensions name": "an extension that is not a list of tokens",
    "Invalid character in chunk extensions value": "an extension that is not a list of tokens",
    "Invalid character in chunk extensions quoted value": "an extension that is not a list of tokens",
    "Invalid character in chunk extensions quote value": "an extension that is not a list of tokens",
}


@dataclass
class Message:
    """A parsed message. `end` is the number of bytes it takes, and None if more must follow."""

    start: tuple[bytes, ...] = ()
    fields: Fields = ()
    body: bytes = b""
    end: int | None = None


@dataclass
class LlhttpEvents:
    """Collects what llhttp reports of the first message."""

    url: bytes = b""
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    has_head: bool = False
    complete: bool = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # the proxy does not interpret trailers
            self.fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def pieces_of(wire: bytes, size: int) -> Iterable[bytes]:
    return (wire[at : at + size] for at in range(0, len(wire), size))


def read_body(framing: BodyFraming, wire: bytes, size: int) -> tuple[bytes, int | None]:
    """The body that starts `wire`, which arrives in pieces of `size` bytes, and its length on the wire."""
    decoder, content, used = body_decoder(framing), b"", 0
    if decoder.done:
        return b"", 0
    for piece in pieces_of(wire, size):
        taken, parts = decoder.decode(piece)
        content, used = content + b"".join(parts), used + taken
        if decoder.done:
            return content, used
    return content, None


def split_head(wire: bytes) -> tuple[bytes, int] | None:
    end = wire.find(HEAD_END)
    return None if end < 0 else (wire[:end], end + len(HEAD_END))


def our_request(wire: bytes, size: int) -> Message | None:
    """None while the head is incomplete. Raises BadMessage."""
    found = split_head(wire)
    if found is None:
        return None
    head = parse_request(found[0])
    body, used = read_body(head.body, wire[found[1] :], size)
    return Message((head.method, head.target), head.fields, body, None if used is None else found[1] + used)


def our_response(wire: bytes, size: int) -> Message | None:
    """The response to a POST; None while the head is incomplete. Raises BadMessage."""
    found = split_head(wire)
    if found is None:
        return None
    head = parse_response(found[0], b"POST")
    body, used = read_body(head.body, wire[found[1] :], size)
    return Message((b"%d" % head.status,), head.fields, body, None if used is None else found[1] + used)


def llhttp(kind: Callable[[object], object], wire: bytes, size: int) -> tuple[LlhttpEvents, tuple[bytes, ...]]:
    """What llhttp makes of `wire` in pieces of `size` bytes. Raises HttpParserError."""
    events = LlhttpEvents()
    parser = kind(events)
    for piece in pieces_of(wire, size):
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade:  # complete; the proxy ignores an Upgrade or rejects it with 501
            break
    if kind is httptools.HttpResponseParser:
        return events, (b"%d" % parser.get_status_code(),)
    return events, (parser.get_method(), events.url)


def compare(wire: bytes, *, is_request: bool, size: int = 1 << 20) -> str:
    """The verdict: `refused`, `incomplete`, `same`, or why llhttp refuses. Fails where the two disagree."""
    ours_of, kind = (
        (our_request, httptools.HttpRequestParser) if is_request else (our_response, httptools.HttpResponseParser)
    )
    try:
        ours = ours_of(wire, size)
    except BadMessage:
        return "refused"
    if ours is None:
        return "incomplete"
    try:
        theirs, start = llhttp(kind, wire[: ours.end], size)
        early = ours.end is not None and llhttp(kind, wire[: ours.end - 1], size)[0].complete
    except httptools.HttpParserError as error:
        reason = str(error)
    else:
        assert_same(ours, theirs, start, wire)
        assert not early, wire
        return "same"
    assert reason in LOOSER, (wire, reason)
    return reason


def assert_same(ours: Message, theirs: LlhttpEvents, start: tuple[bytes, ...], wire: bytes) -> None:
    """Fails unless both read the same message."""
    if theirs.url and not theirs.url.startswith((b"/", b"*")):
        start = (start[0], ours.start[1])  # the proxy takes the path out of an absolute target
    assert (ours.start, ours.fields, ours.body) == (start, tuple(theirs.fields), theirs.body), wire
    assert theirs.complete == (ours.end is not None), wire


def lines(*texts: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join(texts) + HEAD_END + body


HOST, CHUNKED = b"Host: h", b"Transfer-Encoding: chunked"
POST = b"POST /v1/x HTTP/1.1"
CHUNKS = b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n"

REQUESTS = [
    (lines(b"GET / HTTP/1.1", HOST), "same"),
    (lines(POST, HOST, b"Content-Length: 3", body=b"abcGET / HTTP/1.1\r\nHost: h\r\n\r\n"), "same"),
    (lines(POST, HOST, CHUNKED, body=CHUNKS + b"GET / HTTP/1.1"), "same"),
    (lines(POST, HOST, CHUNKED, body=b"3\r\nab"), "same"),
    (lines(POST, HOST, b"X:", b"Y: \t a \t "), "same"),
    (lines(b"GET http://h/a?b HTTP/1.1", HOST), "same"),
    (lines(b"OPTIONS * HTTP/1.1", HOST), "same"),
    (lines(POST, HOST, b"Connection: close"), "same"),
    (lines(b"GET / HTTP/1.0"), "same"),
    (lines(POST, HOST, b"Connection: upgrade", b"Upgrade: h2c"), "same"),
    (lines(b"BREW / HTTP/1.1", HOST), "Invalid method encountered"),
    (lines(POST, HOST, b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), "Duplicate Content-Length"),
    (lines(POST, HOST, CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n"), "Invalid character in chunk size"),
    (lines(b"GET /\xc3\xa9 HTTP/1.1", HOST), "Invalid char in url path"),
    (lines(POST, HOST, b"Content-Length: 3", CHUNKED, body=CHUNKS), "refused"),
    (lines(POST, HOST, CHUNKED, b"Content-Length: 3", body=CHUNKS), "refused"),
    (lines(POST, HOST, b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), "refused"),
    (lines(POST, HOST, b"Content-Length: +3", body=b"abc"), "refused"),
    (lines(POST, HOST, b"Content-Length: 3, 3", body=b"abc"), "refused"),
    (lines(POST, HOST, b"Content-Length: 99999999999999999999999"), "refused"),
    (lines(POST, HOST, b"Content-Length : 3", body=b"abc"), "refused"),
    (lines(POST, HOST, b"X: a", b" folded"), "refused"),
    (lines(POST, HOST, b"X: a\nY: b"), "refused"),
    (lines(POST, HOST, b"X: a\rb"), "refused"),
    (lines(POST, HOST, b"X: a\0b"), "refused"),
    (lines(POST, HOST, HOST), "refused"),
    (lines(POST, HOST, b"Transfer-Encoding: gzip, chunked", body=CHUNKS), "refused"),
    (lines(POST, HOST, b"Transfer-Encoding: \x0bchunked", body=CHUNKS), "refused"),
    (lines(POST, HOST, CHUNKED, body=b"FFFFFFFFFFFFFFFFFF\r\n"), "refused"),
    (lines(POST, HOST, CHUNKED, body=b"3\nabc\n0\n\n"), "refused"),
    (lines(POST, HOST, CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"), "refused"),
    (b"POST / HTTP/1.1\nHost: h\n\n", "incomplete"),
]

BOTH = "Content-Length can't be present with Transfer-Encoding"
RESPONSES = [
    (lines(b"HTTP/1.1 200 OK", b"Content-Length: 3", body=b"abcHTTP/1.1"), "same"),
    (lines(b"HTTP/1.1 200 OK", CHUNKED, body=CHUNKS), "same"),
    (lines(b"HTTP/1.1 200", b"Content-Length: 0"), "same"),
    (lines(b"HTTP/1.1 200 OK", body=b"until the connection closes"), "same"),
    (lines(b"HTTP/1.1 100 Continue", body=b"HTTP/1.1 200 OK"), "same"),
    (lines(b"HTTP/1.1 204 No Content", b"Content-Length: 3"), "same"),
    (lines(b"HTTP/1.1 304 Not Modified", b"Content-Length: 3"), "same"),
    (lines(b"HTTP/1.1 200 OK", CHUNKED, b"Content-Length: 3", body=CHUNKS), BOTH),
    (lines(b"HTTP/1.1 200 OK", b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), "refused"),
    (lines(b"HTTP/1.1 200 OK", b"X : y", b"Content-Length: 0"), "refused"),
    (lines(b"HTTP/2 200 OK", b"Content-Length: 0"), "refused"),
]


@pytest.mark.parametrize(("wire", "verdict"), REQUESTS)
def test_llhttp_reads_doubtful_requests_the_same_way(wire: bytes, verdict: str) -> None:
    """Both parsers agree on every request that the proxy accepts, however it is split."""
    assert [compare(wire, is_request=True, size=size) for size in (1 << 20, 1, 2, 3, 7)] == [verdict] * 5


@pytest.mark.parametrize(("wire", "verdict"), RESPONSES)
def test_llhttp_reads_doubtful_responses_the_same_way(wire: bytes, verdict: str) -> None:
    """Both parsers agree on every response that the proxy accepts, however it is split."""
    assert [compare(wire, is_request=False, size=size) for size in (1 << 20, 1, 2, 3, 7)] == [verdict] * 5


ODD = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"\x0b", b"\x7f", b"\xe9", b"0", b"#"]
)
FIELD_LINES = st.sampled_from(
    [
        HOST,
        CHUNKED,
        b"Transfer-Encoding: identity",
        b"transfer-encoding:chunked",
        b"Content-Length: 3",
        b"content-length:03",
        b"Content-Length: 13",
        b"Content-Length:",
        b"Connection: close",
        b"Connection: keep-alive, X",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b"X: y",
        b"X:",
        b" folded",
        b"",
    ]
)
BODIES = st.sampled_from(
    [b"", b"abc", CHUNKS, b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b'3;q="x"\r\nabc\r\n00\r\n\r\n', b"GET / "]
)
REQUEST_LINES = st.sampled_from([POST, b"GET /?a HTTP/1.1", b"HEAD * HTTP/1.0", b"PUT http://h HTTP/1.1"])
STATUS_LINES = st.sampled_from([b"HTTP/1.1 %d X" % status for status in (100, 200, 204, 304, 400)] + [b"HTTP/1.0 200"])
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), ODD), max_size=2)


def edited(wire: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`wire` with up to two bytes replaced by an odd one at each place."""
    for at, removed, put in edits:
        place = at % (len(wire) + 1)
        wire = wire[:place] + put + wire[place + removed :]
    return wire


def messages(starts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    heads = st.tuples(starts, st.lists(FIELD_LINES, max_size=4), BODIES)
    whole = heads.map(lambda parts: lines(parts[0], HOST, *parts[1], body=parts[2]))
    return st.builds(edited, whole, EDITS)


@settings(max_examples=600, derandomize=True, deadline=None, database=None)
@given(messages(REQUEST_LINES), st.sampled_from([1, 2, 5, 1 << 20]))
@example(lines(POST, HOST), 1)
def test_llhttp_reads_generated_requests_the_same_way(wire: bytes, size: int) -> None:
    """No generated request is accepted by the proxy and understood differently by llhttp."""
    compare(wire, is_request=True, size=size)


@settings(max_examples=600, derandomize=True, deadline=None, database=None)
@given(messages(STATUS_LINES), st.sampled_from([1, 2, 5, 1 << 20]))
@example(lines(b"HTTP/1.1 200 OK"), 1)
def test_llhttp_reads_generated_responses_the_same_way(wire: bytes, size: int) -> None:
    """No generated response is accepted by the proxy and understood differently by llhttp."""
    compare(wire, is_request=False, size=size)


def test_the_forwarded_head_is_strict() -> None:
    """Where the proxy reads more than llhttp does, llhttp accepts what the proxy sends on."""
    doubled = parse_request(lines(POST, HOST, b"Content-Length: 3", b"Content-Length: 3")[:-4])
    sent = serialize_request(doubled, b"up", b"", b"10.0.0.1")
    assert compare(sent + b"abc", is_request=True) == "same"
    both = parse_response(lines(b"HTTP/1.1 200 OK", CHUNKED, b"Content-Length: 3")[:-4], b"POST")
    sent = serialize_response(both, chunked=True, closes=False)
    assert compare(sent + CHUNKS, is_request=False) == "same"
    assert both.body != UNTIL_CLOSE
