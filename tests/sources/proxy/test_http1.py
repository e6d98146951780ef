"""How the proxy parses and writes HTTP/1.1."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.sources.proxy.http1.body import ChunkedDecoder, LengthDecoder, UntilCloseDecoder, body_decoder
from goodwatt.sources.proxy.http1.head import (
    NO_BODY,
    UNTIL_CLOSE,
    BadMessage,
    BodyFraming,
    parse_request,
    parse_response,
    serialize_request,
    serialize_response,
)
from goodwatt.sources.proxy.upstream import Origin


def request(*lines: str, start: str = "POST /v1/x?a=%2F&b HTTP/1.1", host: str = "Host: h"):
    return parse_request("\r\n".join([start, *([host] if host else []), *lines]).encode("latin-1"))


def response(*lines: str, start: str = "HTTP/1.1 200 OK", method: bytes = b"POST"):
    return parse_response("\r\n".join([start, *lines]).encode("latin-1"), method)


def test_a_request_is_sent_on_as_it_came_but_for_what_is_of_one_hop() -> None:
    """Target, order, case and repetition of headers stay; hop-by-hop headers go, with those that Connection names."""
    head = request(
        "x-One: 1",
        "Connection: keep-alive, X-Mine",
        "X-Mine: secret of this hop",
        "TE: trailers",
        "Trailer: x",
        "Keep-Alive: timeout=5",
        "Proxy-Authorization: Basic eA==",
        "Proxy-Connection: close",
        "Upgrade: h2c",
        "Authorization: Bearer k",
        "Accept:  text/event-stream \t",
        "x-One: 2",
        "Content-Length: 3",
    )
    assert serialize_request(head, b"up:8000", b"/base", b"10.0.0.1") == (
        b"POST /base/v1/x?a=%2F&b HTTP/1.1\r\nHost: up:8000\r\nx-One: 1\r\nAuthorization: Bearer k\r\n"
        b"Accept: text/event-stream\r\nx-One: 2\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: h\r\nVia: 1.1 goodwatt\r\nContent-Length: 3\r\n\r\n"
    )


def test_who_was_forwarded_for_stays_known() -> None:
    """What a proxy before us said of the client is kept: we add ourselves to the lists, and overwrite nothing."""
    head = request(
        "X-Forwarded-For: 1.1.1.1",
        "X-Forwarded-For: 2.2.2.2",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: api",
        "Via: 2 edge",
        "Transfer-Encoding: chunked",
    )
    assert serialize_request(head, b"up", b"", b"3.3.3.3") == (
        b"POST /v1/x?a=%2F&b HTTP/1.1\r\nHost: up\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: api\r\n"
        b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3\r\nVia: 2 edge, 1.1 goodwatt\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("start", "target"),
    [
        ("GET /a HTTP/1.1", b"/a"),
        ("GET http://h:1/a?b HTTP/1.1", b"/a?b"),
        ("GET HTTPS://h HTTP/1.1", b"/"),
        ("GET http://h?q HTTP/1.1", b"/?q"),
        ("OPTIONS * HTTP/1.1", b"*"),
        ("GET //double/../a;b=%00 HTTP/1.1", b"//double/../a;b=%00"),
    ],
)
def test_the_target_is_the_clients_own(start: str, target: bytes) -> None:
    """It is neither decoded nor normalised; of an absolute URL the path is used."""
    assert request(start=start).target == target


@pytest.mark.parametrize(
    ("lines", "version", "body", "keep_alive"),
    [
        ([], "1.1", NO_BODY, True),
        (["Connection: Close"], "1.1", NO_BODY, False),
        ([], "1.0", NO_BODY, False),
        (["Connection: keep-alive"], "1.0", NO_BODY, True),
        (["Content-Length: 5"], "1.1", BodyFraming(5), True),
        (["Content-Length: 5", "Content-Length: 5"], "1.1", BodyFraming(5), True),
        (["Transfer-Encoding: Chunked"], "1.1", BodyFraming(None, True), True),
    ],
)
def test_where_a_requests_body_ends(lines: list[str], version: str, body: BodyFraming, keep_alive: bool) -> None:
    """By its length or its last chunk; and who says what of the connection afterwards."""
    head = request(*lines, start=f"POST / HTTP/{version}")
    assert (head.body, head.keep_alive, head.is_http11) == (body, keep_alive, version == "1.1")


@pytest.mark.parametrize(
    ("lines", "start", "host", "status"),
    [
        (["Content-Length: 5", "Transfer-Encoding: chunked"], None, "Host: h", 400),
        (["Content-Length: 5", "Content-Length: 6"], None, "Host: h", 400),
        (["Content-Length: +5"], None, "Host: h", 400),
        (["Content-Length: 5, 5"], None, "Host: h", 400),
        (["Content-Length: 0x5"], None, "Host: h", 400),
        (["Transfer-Encoding: gzip, chunked"], None, "Host: h", 501),
        (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], None, "Host: h", 501),
        (["Transfer-Encoding: xchunked"], None, "Host: h", 501),
        (["Transfer-Encoding: chunked"], "POST / HTTP/1.0", "Host: h", 400),
        ([" folded"], None, "Host: h", 400),
        (["No colon"], None, "Host: h", 400),
        (["Space before : colon"], None, "Host: h", 400),
        (["X: a\nTransfer-Encoding: chunked"], None, "Host: h", 400),
        (["X: a\rb"], None, "Host: h", 400),
        (["X: a\0b"], None, "Host: h", 400),
        (["X: \x0bb"], None, "Host: h", 400),  # some servers strip a vertical tab as whitespace
        (["X: a\x7fb"], None, "Host: h", 400),
        (["Host: other"], None, "Host: h", 400),
        ([], None, "", 400),
        ([], "GET / HTTP/2.0", "Host: h", 400),
        ([], "GET /a b HTTP/1.1", "Host: h", 400),
        ([], "GET a HTTP/1.1", "Host: h", 400),
        ([], "GET ftp://h/a HTTP/1.1", "Host: h", 400),
        ([], "GET\t/ HTTP/1.1", "Host: h", 400),
        ([], "* * HTTP/1.1 ", "Host: h", 400),
        ([], "GET * HTTP/1.1", "Host: h", 400),
    ],
)
def test_an_ambiguous_request_is_refused(lines: list[str], start: str | None, host: str, status: int) -> None:
    """A request is rejected if the server might read its end, target or headers differently."""
    with pytest.raises(BadMessage) as refused:
        request(*lines, start=start or "POST / HTTP/1.1", host=host)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("start", "lines", "method", "body", "keep_alive"),
    [
        ("HTTP/1.1 200 OK", ["Content-Length: 3"], b"GET", BodyFraming(3), True),
        ("HTTP/1.1 200", ["Transfer-Encoding: chunked", "Content-Length: 3"], b"GET", BodyFraming(None, True), True),
        ("HTTP/1.1 200 OK", [], b"GET", UNTIL_CLOSE, False),
        ("HTTP/1.0 200 OK", ["Content-Length: 3"], b"GET", BodyFraming(3), False),
        ("HTTP/1.1 200 OK", ["Content-Length: 3", "Connection: close"], b"GET", BodyFraming(3), False),
        ("HTTP/1.1 200 OK", ["Content-Length: 3"], b"HEAD", NO_BODY, True),
        ("HTTP/1.1 204 No Content", [], b"GET", NO_BODY, True),
        ("HTTP/1.1 304 Not Modified", ["Content-Length: 3"], b"GET", NO_BODY, True),
        ("HTTP/1.1 100 Continue", [], b"POST", NO_BODY, True),
    ],
)
def test_where_an_answers_body_ends(
    start: str, lines: list[str], method: bytes, body: BodyFraming, keep_alive: bool
) -> None:
    """Also where it has none whatever its headers say: after HEAD, 1xx, 204 and 304."""
    head = response(*lines, start=start, method=method)
    assert (head.body, head.keep_alive) == (body, keep_alive)


@pytest.mark.parametrize("start", ["HTTP/2 200 OK", "ICY 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 099 OK", ""])
def test_an_answer_that_is_no_http_is_the_servers_fault(start: str) -> None:
    """502, as for every other server fault."""
    with pytest.raises(BadMessage) as refused:
        response(start=start)
    assert refused.value.status == 502


def test_an_answer_goes_on_as_it_came_but_for_what_is_of_one_hop() -> None:
    """Repeated Set-Cookie, the encoding and the reason are preserved; the framing is rewritten."""
    lines = ["Set-Cookie: a=1", "set-cookie: b=2", "Content-Encoding: gzip", "Keep-Alive: timeout=5", "X: \xe9"]
    head = response(*lines, "Transfer-Encoding: chunked", start="HTTP/1.1 418 I'm a teapot")
    assert serialize_response(head, chunked=True, closes=True) == (
        b"HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Encoding: gzip\r\nX: \xe9\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    head = response("Content-Length: 3", method=b"HEAD")
    assert serialize_response(head, chunked=False, closes=False) == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "lines", "told"),
    [
        ("HTTP/1.1 200 OK", ["Connection: Content-Length", "Content-Length: 3"], b"Content-Length: 3\r\n"),
        ("HTTP/1.1 200 OK", ["Content-Length: 3", "content-length: 3"], b"Content-Length: 3\r\n"),
        ("HTTP/1.1 304 Not Modified", ["Content-Length: 3"], b"Content-Length: 3\r\n"),
        ("HTTP/1.1 204 No Content", ["Content-Length: 3"], b""),
        ("HTTP/1.1 204 No Content", ["Transfer-Encoding: chunked"], b""),
        ("HTTP/1.1 103 Early Hints", ["Content-Length: 3"], b""),
    ],
)
def test_a_length_is_told_once_and_only_where_there_may_be_one(start: str, lines: list[str], told: bytes) -> None:
    """The client sees the same end of the body as the proxy, whatever headers the server sends."""
    head = response(*lines, start=start)
    assert serialize_response(head, chunked=False, closes=False) == start.encode() + b"\r\n" + told + b"\r\n"


def test_what_is_asked_of_the_server_itself_stays_so() -> None:
    """`*` is not a path and gets no prefix."""
    wire = serialize_request(request(start="OPTIONS * HTTP/1.1"), b"up", b"/base", b"10.0.0.1")
    assert wire.startswith(b"OPTIONS * HTTP/1.1\r\n")


pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def cut(wire: bytes, at: list[int]) -> list[bytes]:
    """`wire` in pieces that end at these places."""
    places = sorted({place % (len(wire) + 1) for place in at})
    return [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True) if a < b]


@given(pieces, st.lists(st.integers(0, 10_000), max_size=12), st.booleans(), st.booleans())
def test_chunks_are_the_same_in_whatever_pieces_they_come(
    contents: list[bytes], at: list[int], extended: bool, trailers: bool
) -> None:
    """Content and end do not depend on how the bytes are cut, and nothing after the end is taken."""
    mark = b";a=b" if extended else b""
    wire = b"".join(b"%X%s\r\n%s\r\n" % (len(one), mark, one) for one in contents)
    wire += b"0\r\n" + (b"X: y\r\n" if trailers else b"") + b"\r\n"
    chunks, taken, content = ChunkedDecoder(400), 0, b""
    for piece in cut(wire + b"next", at):
        used, found = chunks.decode(piece)
        taken += used
        content += b"".join(found)
    assert (content, taken, chunks.done) == (b"".join(contents), len(wire), True)


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"\r\n",
        b"1" * 17 + b"\r\n",
        b"1;" + b"e" * 5000,
        b"1;" + b"e" * 5000 + b"\r\n",
        b"0\r\n" + b"X: y\r\n" * 5000,
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"3 ;a\0b\r\n",
    ],
)
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    """Any violation of the grammar and any endless line, whether sent whole or byte by byte."""
    for parts in ([wire], [wire[n : n + 1] for n in range(len(wire))]):
        with pytest.raises(BadMessage) as refused:
            fed(ChunkedDecoder(502), parts)
        assert refused.value.status == 502


def fed(chunks: ChunkedDecoder, parts: list[bytes]) -> None:
    for part in parts:
        chunks.decode(part)


@given(st.binary(max_size=50), st.lists(st.integers(0, 1000), max_size=5))
def test_a_counted_body_ends_with_its_length(content: bytes, at: list[int]) -> None:
    """Later bytes belong to the next message."""
    body, taken, found = LengthDecoder(len(content)), 0, b""
    for piece in cut(content + b"next", at):
        used, parts = body.decode(piece)
        taken += used
        found += b"".join(parts)
    assert (taken, found, body.done) == (len(content), content, True)


def test_each_kind_of_body_has_its_decoder() -> None:
    """ChunkedDecoder, a length, or the rest of the connection."""
    assert [type(body_decoder(body)) for body in (BodyFraming(None, True), BodyFraming(3), UNTIL_CLOSE)] == [
        ChunkedDecoder,
        LengthDecoder,
        UntilCloseDecoder,
    ]
    rest = UntilCloseDecoder()
    assert rest.decode(b"abc") == (3, [b"abc"])
    assert not rest.done


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://h", Origin("h", 80, b"", b"h", False, "http://h")),
        ("https://h/", Origin("h", 443, b"", b"h", True, "https://h")),
        ("http://H:8000/base/", Origin("h", 8000, b"/base", b"h:8000", False, "http://h:8000/base")),
        ("http://[::1]:80", Origin("::1", 80, b"", b"[::1]:80", False, "http://[::1]:80")),
    ],
)
def test_where_requests_go(url: str, origin: Origin) -> None:
    """Host, port, what is put before each path, and the Host header."""
    assert Origin.of(url) == origin
