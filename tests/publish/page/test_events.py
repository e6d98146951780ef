"""The event stream and the static files of the page, over real connections."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import ClientSession, web

from goodwatt.publish.http import Publisher
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page.assets import ASSETS, SCRIPT, STYLE, Asset
from goodwatt.publish.page.events import ALIVE, MAX_LISTENERS, RETRY, EventStream, _Listener
from goodwatt.web.connection_limits import IDLE_TIMEOUT_SECONDS
from tests.fakes.snapshots import snapshot
from tests.publish.pages import small
from tests.publish.serving import ABOUT, Clock, connecting, serving

ASK = b"GET /-/events HTTP/1.1\r\nHost: x\r\n\r\n"
LISTEN = b"GET / HTTP/1.0\r\n\r\n"  # of a bare feed; HTTP/1.0, so that no chunk sizes stand between the events


@asynccontextmanager
async def feeding(feed: EventStream, first: Callable[[], bytes | None] = lambda: None) -> AsyncIterator[int]:
    """Serve one event stream and nothing else; yield the port."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return await feed.serve(request, first, lambda: None)

    application = web.Application()
    application.router.add_get("/", serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def until(what: Callable[[], bool]) -> None:
    for _ in range(500):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not happen")


async def test_an_event_is_encoded_once_for_all_pages() -> None:
    """Ten pages get each event, which is encoded once."""
    feed, made = EventStream(), 0

    def make() -> bytes:
        nonlocal made
        made += 1
        return f"data: {made}\n\n".encode()

    async with feeding(feed, lambda: b"data: first\n\n") as port, connecting(port) as connect:
        pages = [await connect(LISTEN) for _ in range(10)]
        for reader, _ in pages:
            await reader.readuntil(RETRY + b"data: first\n\n")
        assert feed.listeners == 10
        for number in (1, 2):
            feed.send(make)
            assert [await reader.readuntil(b"\n\n") for reader, _ in pages] == [f"data: {number}\n\n".encode()] * 10
        assert made == 2
        feed.close()


async def test_no_event_is_encoded_without_an_open_page() -> None:
    """Without an open page no event is encoded; a page that disconnects is forgotten."""

    def never() -> bytes:
        raise AssertionError("made for nobody")

    feed = EventStream(keep_alive_seconds=0.02)
    feed.send(never)
    async with feeding(feed) as port, connecting(port) as connect:
        reader, writer = await connect(LISTEN)
        await reader.readuntil(ALIVE)
        writer.transport.abort()
        await until(lambda: feed.listeners == 0)
        feed.send(never)


async def test_an_idle_stream_sends_keep_alives() -> None:
    """An idle stream sends a comment periodically, which pages ignore."""
    feed = EventStream(keep_alive_seconds=0.02)
    async with feeding(feed) as port, connecting(port) as connect:
        reader, _ = await connect(LISTEN)
        await reader.readuntil(RETRY)
        assert [await reader.readuntil(b"\n\n") for _ in range(3)] == [ALIVE] * 3
        assert ALIVE.startswith(b":")
        feed.close()


async def test_one_page_too_many_gets_503() -> None:
    """Beyond the limit the answer is 503 with one line of advice; a disconnecting page frees its place immediately."""
    feed = EventStream(most=2)
    async with feeding(feed) as port, connecting(port) as connect, ClientSession(f"http://127.0.0.1:{port}") as client:
        first, writer = await connect(LISTEN)
        second, _ = await connect(LISTEN)
        for reader in (first, second):
            await reader.readuntil(ALIVE)
        for ask in (client.get, client.head):
            async with ask("/") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
                said = await answer.text()
        async with client.get("/") as answer:
            said = await answer.text()
        assert said == "all 2 event streams are in use; close another page, or reload / to update\n"
        writer.transport.abort()
        for _ in range(100):
            third, _ = await connect(LISTEN)
            if (await third.readline()).split()[1] == b"200":
                break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("no room is made")
        feed.close()


async def test_head_reports_whether_the_limit_is_reached() -> None:
    """HEAD opens no stream and does not count towards the limit."""
    feed = EventStream()
    async with feeding(feed) as port, ClientSession(f"http://127.0.0.1:{port}") as client, client.head("/") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert feed.listeners == 0


async def test_a_slow_client_is_disconnected() -> None:
    """A client that reads nothing is disconnected; others get every event meanwhile, and its backlog stays small."""
    feed = EventStream(slow_seconds=0.3)
    large = b"data: " + b"x" * 500_000 + b"\n\n"
    async with feeding(feed) as port, connecting(port) as connect:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", port))
        slow.sendall(LISTEN)
        reader, _ = await connect(LISTEN)
        await reader.readuntil(ALIVE)
        await until(lambda: feed.listeners == 2)
        waiting = 0
        for _ in range(200):
            feed.send(lambda: large)
            assert await reader.readexactly(len(large)) == large
            waiting = max([waiting, *(_unsent(one) for one in feed._listeners)])
            if feed.listeners == 1:
                break
            await asyncio.sleep(0.01)
        assert feed.listeners == 1
        assert waiting < 3 * len(large)
        slow.close()
        feed.close()


def _unsent(listener: _Listener) -> int:
    transport = listener._request.transport
    return 0 if transport is None else int(transport.get_write_buffer_size())


async def test_only_the_newest_event_is_queued() -> None:
    """A page that was busy for several events gets only the last."""
    feed = EventStream()
    async with feeding(feed) as port, connecting(port) as connect:
        reader, _ = await connect(LISTEN)
        await reader.readuntil(ALIVE)
        for number in range(5):
            feed.send(lambda number=number: f"data: {number}\n\n".encode())  # type: ignore[misc]
        assert await reader.readuntil(b"\n\n") == b"data: 4\n\n"
        feed.close()


async def test_shutdown_ends_every_stream() -> None:
    """Thirty open pages and one that reads nothing delay the shutdown by at most half a second."""
    publisher = Publisher(ABOUT, clock=Clock())
    port = (await publisher.start("127.0.0.1", 0)).port
    publisher.latest = snapshot(64, [f"server-{index}" for index in range(20)], ticks=3)
    async with connecting(port) as connect:
        readers = [(await connect(ASK))[0] for _ in range(30)]
        await connect(ASK)
        for reader in readers:
            await reader.readuntil(b"data: ")
        began = time.perf_counter()
        await publisher.aclose()
        assert time.perf_counter() - began < 1.5
        ends = [await reader.read() for reader in readers]
        assert all(end.endswith(b"0\r\n\r\n") for end in ends)


async def received(reader: asyncio.StreamReader) -> dict[str, object]:
    line = await reader.readuntil(b"\n\n")
    while b"data: " not in line:
        line = await reader.readuntil(b"\n\n")
    return dict(json.loads(line.partition(b"data: ")[2]))


async def test_an_open_page_follows_the_snapshots() -> None:
    """A page gets the current snapshot immediately and then every new one; before the first tick it waits."""
    async with serving() as (publisher, client, _):
        assert client._base_url is not None and client._base_url.port is not None
        async with connecting(client._base_url.port) as connect:
            early, _ = await connect(ASK)
            head = await early.readuntil(b"\r\n\r\n")
            await early.readuntil(ALIVE)
            s = small()
            publisher.latest = s
            first = await received(early)
            late, _ = await connect(ASK)
            assert await received(late) == first
            publisher.latest = replace(s, unix_seconds=s.unix_seconds + 5)
            for reader in (early, late):
                assert (await received(reader))["at"] == s.unix_seconds + 5
    for header in (
        b"Content-Type: text/event-stream",
        b"Cache-Control: no-store",
        b"X-Accel-Buffering: no",
        b"X-Content-Type-Options: nosniff",
        b"Server: goodwatt",
    ):
        assert header in head


async def test_an_open_page_follows_about() -> None:
    """Changes of `about` reach the page with the next snapshot."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        assert "simulated" not in await (await client.get("/")).text()
        publisher.adopt(About("2", simulated=True), "")
        publisher.latest = small()
        assert "simulated" in await (await client.get("/")).text()


async def test_an_open_stream_is_not_idle() -> None:
    """A stream that sends events is not closed as an idle connection."""
    clock = Clock()
    publisher = Publisher(ABOUT, clock=clock)
    port = (await publisher.start("127.0.0.1", 0)).port
    async with connecting(port) as connect:
        reader, _ = await connect(ASK)
        publisher.latest = s = small()
        await received(reader)
        for tick in range(3):
            clock.now += IDLE_TIMEOUT_SECONDS - 1
            publisher.latest = replace(s, unix_seconds=float(tick))
            assert (await received(reader))["at"] == tick
            publisher._listening._swept()
        clock.now += IDLE_TIMEOUT_SECONDS + 1
        publisher._listening._swept()
        publisher.latest = s
        with pytest.raises(asyncio.IncompleteReadError):
            await received(reader)
    await publisher.aclose()


async def test_pages_cannot_take_every_connection() -> None:
    """With the maximum number of open pages, metrics are still served."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        assert client._base_url is not None and client._base_url.port is not None
        async with connecting(client._base_url.port) as connect:
            readers = [(await connect(ASK))[0] for _ in range(MAX_LISTENERS)]
            for reader in readers:
                await received(reader)
            assert (await client.get("/-/events")).status == 503
            assert (await client.get("/metrics")).status == 200


@pytest.mark.parametrize("asset", ASSETS, ids=[asset.path for asset in ASSETS])
async def test_static_files_are_revalidated(asset: Asset) -> None:
    """A file has a content type and an ETag; a matching ETag gets 304, any other the file."""
    async with serving() as (_, client, _clock):
        async with client.get(asset.path) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == f"{asset.content_type}; charset=utf-8"
            assert answer.headers["Cache-Control"] == "no-cache"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            tag = answer.headers["ETag"]
            assert await answer.read() == asset.body
        for known, status in ((tag, 304), (f'"x", {tag}', 304), ("*", 304), ('"x"', 200), ("", 200)):
            async with client.get(asset.path, headers={"If-None-Match": known}) as answer:
                assert (answer.status, answer.headers["ETag"]) == (status, tag)
                assert bool(await answer.read()) == (status == 200)


async def test_the_page_is_small() -> None:
    """Page, script, style and icon of two GPUs and a server are below 60 KB, uncompressed."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        sizes = [len(await (await client.get(path)).read()) for path in ("/", *(asset.path for asset in ASSETS))]
    assert sum(sizes) < 60_000
    assert len(SCRIPT.body) < 8_000 and len(STYLE.body) < 9_000


async def test_without_a_landing_page_there_is_no_stream() -> None:
    """With the metrics at the root there is neither page nor stream; the 404 page still has its style."""
    async with serving(telemetry_path="/") as (publisher, client, _):
        publisher.latest = small()
        assert (await client.get("/-/events")).status == 404
        assert (await client.get("/-/page.css")).status == 200
