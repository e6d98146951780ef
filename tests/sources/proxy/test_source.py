"""What passes through the proxy: the same bytes, at once, in both directions."""

import asyncio
import gzip
import logging
import os
import resource
import socket
from pathlib import Path

import pytest

from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import TlsSection
from goodwatt.sources.proxy.downstream import ClientConnection
from goodwatt.sources.proxy.listener import Listener, raised_file_limit
from goodwatt.sources.proxy.recording.outbox import RecordOutbox
from goodwatt.sources.proxy.source import ProxySource
from tests.fakes.certificates import Certificates, make_certificates
from tests.fakes.http_server import Reply, serving, unused_port
from tests.fakes.openai_server import (
    STREAM_HEAD,
    Talk,
    answers,
    chat_events,
    chunk,
    event,
    openai_server,
    plain,
    streams,
)
from tests.sources.proxy.proxies import ask, calling, post, proxy, section


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def test_a_stream_passes_byte_for_byte_and_is_measured() -> None:
    """Head, chunks and end are the server's own; the record says what the usage says."""
    events = chat_events(5, usage=(9, 4, 5))
    async with openai_server(streams(5, (9, 4, 5))) as server, proxy(server.url) as through:
        head, body = await ask(through.port, post())
        [told] = await through.told(1)
    assert head == STREAM_HEAD
    assert body == b"".join(map(chunk, events)) + b"0\r\n\r\n"
    assert (told.server, told.model, told.outcome, told.streaming) == ("a", "m", Outcome.SUCCESS, True)
    assert (told.prompt_tokens, told.cached_prompt_tokens, told.generated_tokens) == (9, 4, 5)
    assert told.ttft_seconds is not None and 0 < told.ttft_seconds <= told.e2e_seconds


async def test_every_event_is_passed_on_before_the_next_one_is_there() -> None:
    """The server sends an event only once the client has the one before: nothing is held back anywhere."""
    got = asyncio.Semaphore(0)

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD)
        for one in chat_events(20):
            await talk.send(chunk(one))
            await got.acquire()
        await talk.send(b"0\r\n\r\n")

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post())
        for one in chat_events(20):
            await client.until(one)
            got.release()
        assert await client.until(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (plain(b'{"a": 1}'), 200),
        (plain(b"", more="X-Empty: 1\r\n"), 200),
        (plain(b'{"error": {"message": "full"}}', "429 Too Many Requests", more="Retry-After: 7\r\n"), 429),
        (plain(b"<html>", "503 Service Unavailable", "text/html"), 503),
        (plain(gzip.compress(b"{}"), more="Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"), 200),
        (plain(b"x", "302 Found", "text/plain", "Location: http://elsewhere/\r\n"), 302),
        (plain(b"x", more="Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Latin: \xe9\r\n"), 200),
        (plain(os.urandom(3_000_000), kind="application/octet-stream"), 200),
        (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 0\r\n\r\n", 304),
    ],
)
async def test_any_answer_passes_byte_for_byte(wire: bytes, status: int) -> None:
    """Errors, redirects, cookies, compressed and large bodies: nothing is followed, unpacked or put together."""
    async with openai_server(answers(wire)) as server, proxy(server.url) as through:
        head, body = await ask(through.port, post(path="/any/path"))
        assert (head + body).decode("latin-1") == wire.decode("latin-1")
        assert not (await through.read()).records
        assert int(head.split()[1]) == status


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS", "BREW"])
async def test_any_method_and_path_pass(method: str) -> None:
    """With the query, encoded as the client encoded it, behind the path of `upstream`."""
    target = "/v1//models/a%2Fb/../c;d?x=%20+&y=[1]&z"
    async with openai_server(answers(plain(b"ok"))) as server, proxy(f"{server.url}/base/") as through:
        await ask(through.port, f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        first = server.received[0].text.split(b"\r\n")[0]
    assert first == f"{method} /base{target} HTTP/1.1".encode()


async def test_head_has_the_length_and_no_body() -> None:
    """The connection goes on after it."""
    async with openai_server() as server, proxy(server.url) as through, calling(through.port) as client:
        server.script = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        await client.send(b"HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
        server.script = answers(plain(b"12345"))
        await client.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.whole())[1] == b"12345"


@pytest.mark.parametrize("chunked", [True, False])
async def test_an_upload_arrives_as_it_was_sent(chunked: bool) -> None:
    """Five megabytes, with a length or in chunks of any size."""
    content = os.urandom(5_000_000)
    async with openai_server(answers(plain(b"{}"))) as server, proxy(server.url) as through:
        async with calling(through.port) as client:
            if chunked:
                await client.send(b"POST /v1/audio HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
                for at in range(0, len(content), 77_777):
                    await client.send(chunk(content[at : at + 77_777]))
                await client.send(b"0\r\n\r\n")
            else:
                await client.send(post(content, "/v1/audio"))
            await client.whole()
        assert server.received[0].body == content
        assert server.received[0].head.body.chunked is chunked


async def test_a_client_that_waits_for_leave_to_send_gets_the_servers() -> None:
    """`Expect: 100-continue` goes to the server, and its 100 to the client, which then sends the body."""

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await talk.server.read_body(talk)
        await talk.send(plain(b"got"))

    async with openai_server(script, eager=True) as server, proxy(server.url) as through:
        async with calling(through.port) as client:
            await client.send(post(b"", "/up", "Expect: 100-continue\r\n").replace(b"Length: 0", b"Length: 4"))
            assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"body")
            assert (await client.whole())[1] == b"got"
        assert server.received[0].head.first_value(b"expect") == b"100-continue"
        assert server.received[0].body == b"body"


async def test_connections_are_kept_on_both_sides() -> None:
    """Many requests of one client, some sent before the answer to the one before, use one connection to the server."""
    async with openai_server() as server, proxy(server.url) as through, calling(through.port) as client:
        for _ in range(3):
            await client.send(post())
            await client.whole()
        await client.send(post() * 4)
        for _ in range(4):
            await client.whole()
        assert len(await through.told(7)) == 7
        assert server.connections == 1


async def test_a_server_that_closes_kept_connections_is_asked_again() -> None:
    """It may close one just when it is used: such a request is sent again, on a new one, and nobody notices."""
    async with openai_server(keep_alive=False) as server, proxy(server.url) as through:
        for _ in range(30):
            await ask(through.port, post())
        told = await through.told(30)
        assert {one.outcome for one in told} == {Outcome.SUCCESS}
        assert server.connections >= 30


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_body_that_ends_with_the_connection(version: str) -> None:
    """To HTTP/1.1 it goes on in chunks, so that its end can be told from a break; to HTTP/1.0 as it is."""
    events = b"".join(chat_events(2))

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", events)
        talk.writer.close()

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post().replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        if version == "1.1":
            head, body = await client.whole()
            assert head.endswith(b"Transfer-Encoding: chunked\r\n\r\n")
            assert body == chunk(events) + b"0\r\n\r\n"
        else:
            assert (await client.rest()).partition(b"\r\n\r\n")[2] == events
        [told] = await through.told(1)
    assert told.outcome is Outcome.SUCCESS


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    """The content alone, to the end of the connection."""
    async with openai_server(streams(3)) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert body == b"".join(chat_events(3))


async def test_a_head_may_come_in_any_pieces() -> None:
    """A byte at a time, from the client and from the server."""

    async def script(talk: Talk) -> None:
        for byte in plain(b"{}"):
            await talk.send(bytes([byte]))
            await asyncio.sleep(0)

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        for byte in b"\r\n" + post():
            await client.send(bytes([byte]))
        assert (await client.whole())[1] == b"{}"


async def test_a_server_behind_tls_is_verified(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """With its authority given it is asked; without it the client is told why not, in one line."""
    with caplog.at_level(logging.INFO, "goodwatt.sources"):
        async with serving({"/v1/models": Reply(b"ok")}, certificates.server_context()) as server:
            get = b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n"
            async with proxy(server.url, tls=TlsSection(ca_file=certificates.ca)) as through:
                assert (await ask(through.port, get))[1] == b"ok"
            async with proxy(server.url) as through:
                assert b"TLS failed: unable to get local issuer certificate" in (await ask(through.port, get))[1]
            async with proxy(server.url, tls=TlsSection(ca_file=Path("/no/ca"))) as through:
                head, body = await ask(through.port, get)
                assert head.startswith(b"HTTP/1.1 502 ") and b"cannot use tls ca_file /no/ca" in body


async def test_the_page_of_a_server_that_has_none() -> None:
    """Tokens, requests and what runs, by model, so that energy and money can be given to it; from 0 up."""
    go_on = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD, chunk(chat_events(1)[1]))
        await go_on.wait()
        await talk.send(chunk(event(b"[DONE]")), b"0\r\n\r\n")

    async with openai_server(streams(3, (9, 4, 3))) as server, proxy(server.url, has_page=False) as through:
        assert through.source.id.label == "server/a"
        first = (await through.read()).page
        assert first is not None and (first.engine, first.counters, first.gauges) == ("proxy", {}, {})
        await ask(through.port, post())
        await through.told(1)
        server.script = script
        async with calling(through.port) as client:
            await client.send(post())
            await client.until(b"t0")
            page = (await through.read()).page
            assert page is not None and page.gauges == {(Signal.REQUESTS_RUNNING, "m"): 1.0}
            assert page.counters == {
                SeriesId(signal=Signal.REQUESTS, model="m", outcome=Outcome.SUCCESS): 1,
                SeriesId(signal=Signal.PROMPT_TOKENS, model="m"): 9,
                SeriesId(signal=Signal.CACHED_PROMPT_TOKENS, model="m"): 4,
                SeriesId(signal=Signal.GENERATED_TOKENS, model="m"): 3,
            }
            go_on.set()
            await client.whole()
        await through.told(2)
        page = (await through.read()).page
        assert page is not None and page.gauges == {(Signal.REQUESTS_RUNNING, "m"): 0.0}
        assert page.counters[SeriesId(signal=Signal.GENERATED_TOKENS, model="m")] == 4


async def test_names_of_models_come_from_answers() -> None:
    """What a client makes up is no model; who names none is counted with the only one there is."""
    async with (
        openai_server(answers(plain(b"{}", "500 Oops"))) as server,
        proxy(server.url, has_page=False) as through,
    ):
        await ask(through.port, post(b'{"model": "made-up"}'))
        await through.told(1)
        page = (await through.read()).page
        assert page is not None and page.counters == {
            SeriesId(signal=Signal.REQUESTS, model="", outcome=Outcome.ERROR): 1
        }
        server.script = streams(2)
        await ask(through.port, post())
        await through.told(2)
        page = (await through.read()).page
    assert page is not None and page.counters[SeriesId(signal=Signal.GENERATED_TOKENS, model="m")] == 2


async def test_beside_a_page_the_proxy_brings_records_alone() -> None:
    """The page's own counters are the ledger's tokens."""
    async with openai_server() as server, proxy(server.url) as through:
        assert through.source.id.label == "proxy/a"
        assert (await through.read()).page is None


async def test_an_address_that_is_taken_is_said_and_tried_again() -> None:
    """As soon as it is free, clients are served."""
    async with openai_server() as server:
        async with proxy(server.url) as first:
            taken = section(server.url).model_copy(update={"listen": f"127.0.0.1:{first.port}"})
            second = ProxySource("b", taken, has_page=False)
            for _ in range(2):
                with pytest.raises(SourceUnavailable) as refused:
                    await second.read()
            assert refused.value.reason is Reason.CANNOT_LISTEN
            assert refused.value.detail == (
                f"server/b: cannot listen on 127.0.0.1:{first.port}: address already in use; "
                "stop the program that uses it, or choose another port with proxy.listen"
            )
        await second.read()
        assert await ask(second.port, post())
        await second.aclose()
        await second.aclose()


@pytest.mark.parametrize("turns", range(5))
async def test_who_gives_up_opening_may_open_again(turns: int) -> None:
    """At whatever moment a tick's deadline comes, no socket is left behind that would keep the address taken."""
    async with openai_server() as server:
        free = unused_port()
        where = section(server.url).model_copy(update={"listen": f"127.0.0.1:{free}"})
        listener = Listener("proxy/a", "a", where, RecordOutbox())
        opening = asyncio.create_task(listener.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
        if not listener.is_open:
            await listener.open()
        assert (await ask(free, post()))[1]
        listener.abort()


async def test_closing_lets_running_answers_end_and_frees_the_address() -> None:
    """A reload that changes the proxy cuts nobody off: another one listens while the old answers go on."""
    go_on = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD, chunk(chat_events(1)[1]))
        await go_on.wait()
        await talk.send(b"0\r\n\r\n")

    async with (
        openai_server(script) as server,
        proxy(server.url) as old,
        calling(old.port) as running,
        calling(old.port) as idle,
    ):
        await running.send(post())
        await running.until(b"t0")
        port = old.port
        await old.source.aclose()
        assert await idle.rest() == b""
        again = section(server.url).model_copy(update={"listen": f"127.0.0.1:{port}"})
        new = ProxySource("a", again, has_page=True)
        await new.read()
        go_on.set()
        assert (await running.rest()).endswith(b"0\r\n\r\n")
        await ask(port, post())
        await asyncio.to_thread(new.abort)


async def test_closing_lets_a_slow_client_have_its_answer_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server has sent and the client has not yet taken is not lost with the thread."""
    made, body = ClientConnection.connection_made, bytes(60_000)

    def with_a_small_buffer(self: ClientConnection, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        made(self, transport)

    monkeypatch.setattr(ClientConnection, "connection_made", with_a_small_buffer)
    async with openai_server(answers(plain(body))) as server, proxy(server.url) as old:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            loop, answer = asyncio.get_running_loop(), b""
            await loop.sock_connect(slow, ("127.0.0.1", old.port))
            await loop.sock_sendall(slow, post())
            await old.told(0, dropped=1)
            await old.source.aclose()
            await asyncio.sleep(0.05)
            async with asyncio.timeout(20):
                while piece := await loop.sock_recv(slow, 2**16):
                    answer += piece
        assert answer.endswith(b"\r\n\r\n" + body)


async def test_a_stream_that_cannot_be_read_ends_as_the_server_ends_it() -> None:
    """Nobody can tell whether it said that it was whole, so that it is no break: the client sees a good end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: br\r\n\r\n"

    async def script(talk: Talk) -> None:
        await talk.send(head + b"\x0b\x02\x80")
        talk.writer.close()

    async with openai_server(script) as server, proxy(server.url) as through:
        assert (await ask(through.port, post()))[1] == chunk(b"\x0b\x02\x80") + b"0\r\n\r\n"
        await through.told(0, dropped=1)
    assert through.dropped == {"partial": 1}


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(4352, 8000, None), (-1, -1, None), (1024, 8000, 4352), (1024, -1, 4352), (1024, 2048, 2048)],
)
def test_how_many_files_may_be_open(soft: int, hard: int, expected: int | None) -> None:
    """The file limit is raised to what the streams need, or what the system allows; a sufficient limit is kept."""
    assert raised_file_limit(soft, hard, 4352) == expected


async def test_a_limit_of_files_that_is_too_low_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """With what to do; it listens all the same."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = 2**15 + 1 if limits[1] == resource.RLIM_INFINITY else limits[1]
    async with openai_server() as server, proxy(server.url, max_concurrent_requests=min(many, 65536)) as through:
        assert (await ask(through.port, post()))[0] == STREAM_HEAD
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    said = [line for line in caplog.messages if "files may be open" in line]
    assert len(said) == (2 * min(many, 65536) + 256 > limits[1] != resource.RLIM_INFINITY)
