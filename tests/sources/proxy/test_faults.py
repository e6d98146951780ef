"""The proxy when clients leave, servers die, and everybody sends too much, too slowly or nonsense."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from goodwatt.model.engine import Outcome
from goodwatt.sources.proxy import downstream
from goodwatt.sources.proxy.recording import outbox
from goodwatt.sources.proxy.upstream import UPSTREAM_IDLE_SECONDS
from tests.bench.observed import memory_bytes
from tests.fakes.http_server import unused_port
from tests.fakes.openai_server import (
    STREAM_HEAD,
    OpenAiServer,
    Script,
    Talk,
    answers,
    chat_events,
    chunk,
    event,
    openai_server,
    plain,
    streams,
)
from tests.fakes.waiting import soon
from tests.sources.proxy.proxies import CHAT, Caller, Proxy, ask, calling, post, proxy

MEBIBYTE = 2**20


def said(body: bytes) -> str:
    """The message of an answer in the proxy's own name, which has the form of OpenAI's errors."""
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["message"])


def waits_after(*pieces: bytes) -> Script:
    """A script that sends these and then nothing, until its client is gone."""

    async def script(talk: Talk) -> None:
        await talk.send(*pieces)
        await talk.reader.read()
        talk.server.left += 1

    return script


async def test_a_client_that_leaves_ends_its_request_at_the_server() -> None:
    """At once, in the middle of a stream: the record is cancelled, with the tokens that it was given."""
    script = waits_after(STREAM_HEAD, *map(chunk, chat_events(3)[:4]))
    async with openai_server(script) as server, proxy(server.url) as through:
        async with calling(through.port) as client:
            await client.send(post())
            await client.until(b"t2")
        await soon(lambda: server.left == 1)
        [told] = await through.told(1)
    assert (told.outcome, told.generated_tokens, told.tokens_estimated) == (Outcome.CANCELLED, 3, True)
    assert told.ttft_seconds is not None


async def test_a_client_that_leaves_before_its_answer_is_cancelled_too() -> None:
    """Whether it resets the connection or says goodbye; the model is whom it asked for."""
    async with openai_server(waits_after()) as server, proxy(server.url) as through:
        for polite in (True, False):
            async with calling(through.port) as client:
                await client.send(post(b'{"model": "wanted"}'))
                await soon(lambda: len(server.open) == 1)
                if polite:
                    client.writer.write_eof()
                    assert await client.rest() == b""
            await soon(lambda: not server.open)
        told = await through.told(2)
    assert [(one.outcome, one.model, one.ttft_seconds) for one in told] == [(Outcome.CANCELLED, "wanted", None)] * 2


@pytest.mark.parametrize(
    ("begun", "version"),
    [
        (STREAM_HEAD + b"".join(map(chunk, chat_events(3)[:3])), "1.1"),
        (STREAM_HEAD + chunk(chat_events(3)[1])[:-9], "1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{", "1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chat_events(3)[1], "1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chat_events(3)[1], "1.0"),
        (STREAM_HEAD + chunk(chat_events(3)[1]) + b"no chunk\r\n", "1.1"),
    ],
)
@pytest.mark.parametrize("politely", [True, False])
async def test_a_server_that_dies_within_its_answer_cuts_the_clients(
    begun: bytes, version: str, politely: bool
) -> None:
    """The client has every byte, and cannot take the end for a good one; the record is an error."""

    async def script(talk: Talk) -> None:
        await talk.send(begun)
        await asyncio.sleep(0.05)
        if politely:
            talk.writer.close()
        else:
            talk.kill()

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post().replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        try:
            everything = await client.rest()
        except ConnectionResetError:
            everything = b""
        [told] = await through.told(1)
    if version == "1.0":
        assert everything == b"", "the end of a body without a frame looked like a good one"
    else:
        assert not everything.endswith(b"0\r\n\r\n")
        assert (b"t0" in everything or b"{" in everything) or b"no chunk" in begun
    assert told.outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "closed the connection without a response; see its log"),
        (b"HTTP/1.1 200", "closed the connection without a response; see its log"),
        (b"SSH-2.0-x\r\n\r\n", "sent an invalid response: its response is not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nno header\r\n\r\n", "sent an invalid response: a header line is malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "sent an invalid response: Content-Length is not one number"),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
            "sent an invalid response: it switches protocols without a request to do so",
        ),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
            "sent an invalid response: its header is longer than max_header_bytes",
        ),
    ],
)
async def test_a_server_that_answers_nothing_good(wire: bytes, why: str) -> None:
    """The client is told 502, what and where, in the form of the API's own errors; and it counts as an error."""

    async def script(talk: Talk) -> None:
        await talk.send(wire)
        talk.writer.close()

    async with openai_server(script) as server, proxy(server.url) as through:
        head, body = await ask(through.port, post())
        [told] = await through.told(1)
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert said(body) == f"goodwatt: http://127.0.0.1:{server.port} {why}"
    assert told.outcome is Outcome.ERROR


async def test_a_server_that_is_down_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """502 with what and where; one line of log for it, and one when it is reachable again."""
    port = unused_port()
    caplog.set_level(logging.DEBUG, "goodwatt")
    async with proxy(f"http://127.0.0.1:{port}/v1") as through:
        for _ in range(3):
            head, body = await ask(through.port, post())
        assert head.startswith(b"HTTP/1.1 502 ")
        why = f"cannot reach http://127.0.0.1:{port}/v1: connection refused; is the server running?"
        assert said(body) == f"goodwatt: {why}"
        async with openai_server(port=port):
            await ask(through.port, post())
        assert [one.outcome for one in await through.told(4)] == [Outcome.ERROR] * 3 + [Outcome.SUCCESS]
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("proxy.upstream")]
    assert lines == [f"proxy/a: {why}", f"proxy/a: http://127.0.0.1:{port}/v1 is reachable again"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "n" * 64])
async def test_a_name_without_an_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told, and what to look at; also of a name that is too long to be one."""
    resolve = socket.getaddrinfo

    def without_network(name: Any, *rest: Any, **more: Any) -> Any:
        if name in ("no-such-host.invalid", b"no-such-host.invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(name, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", without_network)
    async with proxy(f"http://{host}:1") as through:
        head, body = await ask(through.port, post())
    assert head.startswith(b"HTTP/1.1 502 ")
    assert "the host name does not resolve; check upstream" in said(body)


@contextlib.asynccontextmanager
async def deaf_server():
    """An address whose connections are never accepted, nor refused."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


async def test_a_server_that_takes_no_connection() -> None:
    """504 after connect_timeout_seconds; who leaves before is cancelled, and nobody goes on trying for it."""
    async with deaf_server() as url, proxy(url, connect_timeout_seconds=0.4) as through:
        async with calling(through.port) as client:
            await client.send(post())
            await asyncio.sleep(0.1)
        head, body = await ask(through.port, post())
        told = await through.told(2)
    assert head.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert said(body) == f"goodwatt: no connection to {url} within 0.4 s; is the server running?"
    assert sorted(one.outcome for one in told) == [Outcome.CANCELLED, Outcome.ERROR]


async def test_a_slow_reader_slows_the_server_and_fills_no_memory() -> None:
    """The server can send only as much as its client takes, but for buffers of some megabytes; all of it arrives."""
    piece, sent = bytes(MEBIBYTE), [0]

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MEBIBYTE))
        for _ in range(64):
            await talk.send(piece)
            sent[0] += 1

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post())
        await client.until(b"\r\n\r\n")
        await still(lambda: sent[0])
        assert sent[0] < 48, "nothing holds the server back"
        body = await client.reader.readexactly(64 * MEBIBYTE)
    assert body == bytes(64 * MEBIBYTE)


async def test_a_slow_server_slows_the_upload_and_fills_no_memory() -> None:
    """The same in the other direction."""
    go_on, sent = asyncio.Event(), [0]

    async def script(talk: Talk) -> None:
        await go_on.wait()
        await talk.server.read_body(talk)
        await talk.send(plain(b"{}"))

    async with (
        openai_server(script, eager=True) as server,
        proxy(server.url) as through,
        calling(through.port) as client,
    ):

        async def upload() -> None:
            await client.send(post(b"")[:-4].replace(b"Length: 0", b"Length: %d" % (64 * MEBIBYTE)) + b"\r\n\r\n")
            for _ in range(64):
                await client.send(bytes(MEBIBYTE))
                sent[0] += 1

        uploading = asyncio.create_task(upload())
        await still(lambda: sent[0])
        assert sent[0] < 48, "nothing holds the client back"
        go_on.set()
        await uploading
        await client.whole()
        assert len(server.received[0].body) == 64 * MEBIBYTE


async def still(value: Callable[[], int]) -> None:
    """Wait until it has stopped growing."""
    before = -1
    while value() != before:
        before = value()
        await asyncio.sleep(0.3)


async def test_a_thousand_streams_at_once() -> None:
    """All are open together, each gets its own answer whole, and memory stays within some tens of kilobytes each."""
    everybody = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD, *map(chunk, chat_events(3)[:2]))
        await everybody.wait()
        await talk.send(*map(chunk, chat_events(3)[2:]), b"0\r\n\r\n")

    async def one(port: int, begun: asyncio.Semaphore) -> bytes:
        async with calling(port) as client:
            await client.send(post())
            await client.reader.readuntil(b"t0")
            begun.release()
            return await client.reader.readuntil(b"0\r\n\r\n")

    before = memory_bytes(os.getpid())
    async with openai_server(script) as server, proxy(server.url) as through:
        begun = asyncio.Semaphore(0)
        clients = [asyncio.create_task(one(through.port, begun)) for _ in range(1000)]
        async with asyncio.timeout(80):
            for _ in clients:
                await begun.acquire()
            grown = memory_bytes(os.getpid()) - before
            everybody.set()
            ends = await asyncio.gather(*clients)
        told = await through.told(1000)
    assert all(b"[DONE]" in end for end in ends)
    assert {one.outcome for one in told} == {Outcome.SUCCESS}
    assert grown < 1000 * 200_000  # the clients and the server of this test included


async def test_an_endless_line_passes_and_is_not_measured() -> None:
    """Thirty megabytes of one event reach the client; the request is shed as partial and memory does not grow."""
    piece = chunk(bytes(b"x" * MEBIBYTE))

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD, chunk(b"data: "))
        for _ in range(30):
            await talk.send(piece)
        await talk.send(b"0\r\n\r\n")

    async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
        await client.send(post())
        await client.until(b"\r\n\r\n")
        got = 0
        while not (part := await client.reader.read(MEBIBYTE)).endswith(b"0\r\n\r\n"):
            got += len(part)
        await through.told(0, dropped=1)
        assert (got + len(part) > 30 * MEBIBYTE, through.dropped, through.records) == (True, {"partial": 1}, [])


@pytest.mark.parametrize(
    ("wire", "status", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000, 431, "the header is longer than max_header_bytes (1024)"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2000 + b"\r\n\r\n", 431, "the header is longer than"),
        (post(bytes(5000)), 413, "the body is longer than max_body_bytes (4096)"),
        (post(b"").replace(b"Length: 0", b"Length: 999999999999"), 413, "the body is longer than max_body_bytes"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(bytes(3000)) * 2,
            413,
            "the body is longer than max_body_bytes",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "its chunked body is malformed",
        ),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "there must be one Host header"),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400, "lines must end with CR LF"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "the first line is not an HTTP/1.1 request line"),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "the request target is not a path"),
        (
            b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
            501,
            "WebSocket and CONNECT are not supported",
        ),
    ],
)
async def test_what_is_refused(wire: bytes, status: int, why: str) -> None:
    """With a status, a one-line reason and a closed connection; nothing reaches the server."""
    async with (
        openai_server(waits_after(), eager=True) as server,
        proxy(server.url, max_header_bytes=1024, max_body_bytes=4096) as through,
        calling(through.port) as client,
    ):
        await client.send(wire)
        head, body = await client.whole()
        assert await client.rest() == b""
        await soon(lambda: not server.open)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in head
    assert why in said(body)


async def test_what_is_refused_of_a_chat_is_shed() -> None:
    """It is the client's mistake, and no request of the engine."""
    async with openai_server() as server, proxy(server.url, max_body_bytes=1024) as through:
        await ask(through.port, post(bytes(2000)))
        server.script = answers(plain(b"{}", "404 Not Found"))
        await ask(through.port, post())
        await through.told(0, dropped=2)
        assert (through.records, through.dropped) == ([], {"refused": 2})


async def test_an_upload_that_is_answered_early() -> None:
    """The server's answer reaches a client that is still sending, and neither connection is used again."""

    async def script(talk: Talk) -> None:
        await talk.send(plain(b"{}", "401 Unauthorized"))
        await talk.reader.read()

    async with (
        openai_server(script, eager=True) as server,
        proxy(server.url) as through,
        calling(through.port) as client,
    ):
        await client.send(post(b"").replace(b"Length: 0", b"Length: 50000000") + bytes(100_000))
        head, _ = await client.whole()
        assert head.startswith(b"HTTP/1.1 401 ") and b"Connection: close" in head
        with contextlib.suppress(ConnectionError):
            await client.send(bytes(100_000))
        assert await client.rest() == b""
        await soon(lambda: not server.open)


async def test_too_many_at_once_are_told_to_come_back() -> None:
    """503 with Retry-After, which counts as an error of the service; a place that is free again is given away."""
    async with openai_server(waits_after()) as server, proxy(server.url, max_concurrent_requests=2) as through:
        async with calling(through.port) as first, calling(through.port) as second:
            await first.send(post())
            await second.send(post())
            await soon(lambda: len(server.received) == 2)
            head, body = await ask(through.port, post())
            assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in head
            assert said(body) == "goodwatt: 2 requests are running (max_concurrent_requests); try again"
        server.script = streams(1)
        told = await through.told(3)
        assert [one.outcome for one in told] == [Outcome.ERROR, Outcome.CANCELLED, Outcome.CANCELLED]
        assert (await ask(through.port, post()))[0] == STREAM_HEAD


async def test_connections_are_counted_too() -> None:
    """Idle ones cannot use up every file of the process."""
    async with (
        openai_server() as server,
        proxy(server.url, max_concurrent_requests=1) as through,
        contextlib.AsyncExitStack() as idle,
    ):
        for _ in range(66):
            await idle.enter_async_context(calling(through.port))
        async with calling(through.port) as client:
            assert (await client.whole())[0].startswith(b"HTTP/1.1 503 ")


async def test_silence_is_cut() -> None:
    """Before an answer 504, within it a cut; a body that stops coming 408; a client that stops reading is cut."""
    silent = waits_after()
    begun = waits_after(STREAM_HEAD, chunk(chat_events(1)[1]))
    async with contextlib.AsyncExitStack() as all_of_them:

        async def opened(script: Script, eager: bool = False) -> tuple[OpenAiServer, Proxy, Caller]:
            server = await all_of_them.enter_async_context(openai_server(script, eager=eager))
            through = await all_of_them.enter_async_context(proxy(server.url, silence_timeout_seconds=1.0))
            return server, through, await all_of_them.enter_async_context(calling(through.port))

        async def late() -> None:
            server, through, client = await opened(silent)
            await client.send(post())
            head, body = await client.whole()
            assert head.startswith(b"HTTP/1.1 504 ")
            assert said(body) == f"goodwatt: {server.url} sent nothing for 1 s"
            assert (await through.told(1))[0].outcome is Outcome.ERROR

        async def broken() -> None:
            _, through, client = await opened(begun)
            await client.send(post())
            await client.until(b"t0")
            with pytest.raises(ConnectionResetError):
                await client.rest()
            assert (await through.told(1))[0].outcome is Outcome.ERROR

        async def stuck() -> None:
            _, through, client = await opened(silent, eager=True)
            await client.send(post(b"").replace(b"Length: 0", b"Length: 9") + b"{")
            assert (await client.whole())[0].startswith(b"HTTP/1.1 408 ")
            await through.told(0, dropped=1)

        async def unread() -> None:
            _, through, client = await opened(answers(plain(bytes(64 * MEBIBYTE), kind="application/json")))
            await client.send(post())
            await client.until(b"\r\n\r\n")
            assert (await through.told(1))[0].outcome is Outcome.CANCELLED

        await asyncio.gather(late(), broken(), stuck(), unread())


async def test_a_client_that_says_nothing_is_cut() -> None:
    """Half a head may take half a minute, a kept connection five; then the connection is needed for others."""
    async with (
        openai_server() as server,
        proxy(server.url) as through,
        calling(through.port) as new,
        calling(through.port) as half,
        calling(through.port) as used,
    ):
        await half.send(b"POST / HT")
        await used.send(post())
        await used.whole()
        await swept(through, downstream.FIRST_BYTES_SECONDS + 2)
        for gone in (new, half):
            with pytest.raises(ConnectionResetError):
                await gone.rest()
        await used.send(post())
        await used.whole()
        await swept(through, downstream.CLIENT_IDLE_SECONDS + 2)
        with pytest.raises(ConnectionResetError):
            await used.rest()


async def swept(through: Proxy, later: float) -> None:
    """What is cut when so many seconds have passed."""

    async def sweep() -> None:
        context = through.source._listener._context
        for client in tuple(context.clients):
            client.sweep(context.clock() + later)

    await through.source._thread.call(sweep())


async def test_idle_connections_to_the_server_are_not_kept_for_long() -> None:
    """Before the server would close them itself."""
    async with openai_server() as server, proxy(server.url) as through:
        await ask(through.port, post())
        assert len(server.open) == 1
        await soon(lambda: not server.open, UPSTREAM_IDLE_SECONDS + 5)


async def test_a_server_that_speaks_out_of_turn() -> None:
    """What it sends after an answer, or while nothing was asked, belongs to nobody: the connection is given up."""

    async def script(talk: Talk) -> None:
        await talk.send(plain(b"{}") + b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\npoison!")

    async def later(talk: Talk) -> None:
        await talk.send(plain(b"{}"))
        await asyncio.sleep(0.05)
        await talk.send(b"poison")

    for poisoned in (script, later):
        async with openai_server(poisoned) as server, proxy(server.url) as through, calling(through.port) as client:
            for number in range(3):
                await client.send(post())
                assert (await client.whole())[1] == b"{}"
                await soon(lambda: not server.open)
                assert server.connections == number + 1


async def test_a_request_that_may_have_been_done_is_not_sent_twice() -> None:
    """A kept connection that breaks without an answer: a chat is asked again, anything else by POST is not."""
    async with openai_server() as server, proxy(server.url) as through:
        for path, asked, status in ((CHAT, 3, b"200"), ("/v1/files", 2, b"502"), ("/big", 2, b"502")):
            server.received.clear()
            server.script = streams(1)
            await ask(through.port, post())
            connections = server.connections

            async def breaks(talk: Talk, before: int = connections) -> None:
                if talk.server.connections == before:
                    talk.kill()
                else:
                    await talk.send(plain(b"{}"))

            server.script = breaks
            head, _ = await ask(through.port, post(bytes(100_000 if path == "/big" else 10), path))
            assert head.split(b" ")[1] == status
            assert len(server.received) == asked


async def test_a_server_that_has_begun_is_not_asked_again() -> None:
    """A 100 on a kept connection, and then nothing: the client saw it, and is told 502."""
    async with openai_server(streams(1)) as server, proxy(server.url) as through:
        await ask(through.port, post())

        async def start_response(talk: Talk) -> None:
            await talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            await asyncio.sleep(0.05)
            talk.kill()

        server.script = start_response
        async with calling(through.port) as client:
            await client.send(post())
            assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.whole())[0].startswith(b"HTTP/1.1 502 ")
        assert (len(server.received), server.connections) == (2, 1)


async def test_more_than_a_client_may_hold_back_waits() -> None:
    """Requests sent ahead are answered one by one; those that would fill memory stay in the client's own buffers."""
    async with openai_server(streams(1)) as server, proxy(server.url, max_header_bytes=1024) as through:
        async with calling(through.port) as client:
            await client.send(post() * 50)
            for _ in range(50):
                await client.whole()
        assert len(await through.told(50)) == 50


async def test_a_client_may_leave_while_it_uploads_or_cannot_be_written_to() -> None:
    """Nothing of it stays."""
    async with openai_server(waits_after(), eager=True) as server, proxy(server.url) as through:
        async with calling(through.port) as client:
            await client.send(post(b"").replace(b"Length: 0", b"Length: 9") + b"{")
            await soon(lambda: len(server.open) == 1)
            linger = struct.pack("ii", 1, 0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await soon(lambda: not server.open)
        assert (await through.told(1))[0].outcome is Outcome.CANCELLED
        assert not through.source._listener._context.running


async def test_what_does_not_fit_between_two_ticks_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records beyond the limit are shed, never silently."""
    monkeypatch.setattr(outbox, "MAX_PENDING_RECORDS", 2)
    async with openai_server(streams(1)) as server, proxy(server.url) as through:
        through.source._outbox._most = 2
        for _ in range(5):
            await ask(through.port, post())
        await soon(lambda: len(through.source._outbox._pending) == 5)
        await through.read()
    assert (len(through.records), through.dropped) == (2, {"overflow": 3})


async def test_no_log_holds_a_prompt_or_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """At any level, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    begun = waits_after(STREAM_HEAD, chunk(event("hunter2")))
    scripts: list[Script] = [streams(1), answers(b"garbage hunter2\r\n\r\n"), answers(plain(b"hunter2")), begun]
    for script in scripts:
        async with openai_server(script) as server, proxy(server.url) as through, calling(through.port) as client:
            await client.send(post(b'{"messages": "hunter2"}', CHAT + "?key=hunter2", "Authorization: hunter2\r\n"))
            await client.reader.read(100)
    assert "hunter2" not in caplog.text
