"""What a scraper, a probe and a browser get over HTTP."""

import asyncio
import gzip
import re
import socket
import time
from dataclasses import replace
from urllib.parse import urljoin

import pytest

from goodwatt.publish.exposition.formats import ExpositionFormat, Variant
from goodwatt.publish.http import About, Address, Publisher, Reloaded, checked_path, staleness
from goodwatt.web.connection_limits import FIRST_REQUEST_TIMEOUT_SECONDS, IDLE_TIMEOUT_SECONDS, MAX_CONNECTIONS
from goodwatt.web.listener import SWEEP_INTERVAL_SECONDS
from tests.fakes.snapshots import snapshot
from tests.publish.pages import small
from tests.publish.serving import ABOUT, Clock, connecting, serving

ASK = b"GET /config HTTP/1.1\r\nHost: x\r\n\r\n"
NOT_YET = "no readings yet; the first tick is in progress\n"


async def test_metrics_by_accept() -> None:
    """The telemetry path gives text, or OpenMetrics if accepted, with the matching content type."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        async with client.get("/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"] == ExpositionFormat.TEXT.value
            assert answer.headers["Vary"] == "Accept, Accept-Encoding"
            assert answer.headers["Server"] == "goodwatt"
            assert "goodwatt_generated_tokens_total" in await answer.text()
        async with client.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
            assert answer.headers["Content-Type"] == ExpositionFormat.OPENMETRICS.value
            assert (await answer.text()).endswith("# EOF\n")


async def test_gzip() -> None:
    """A client that accepts gzip gets the same bytes compressed."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        plain = await (await client.get("/metrics")).read()
        async with client.get("/metrics", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert int(answer.headers["Content-Length"]) < len(plain) / 4
            assert await answer.read() == plain
        zipped = publisher._pages.page(Variant(ExpositionFormat.TEXT, gzip=True))
        assert zipped is not None
        assert gzip.decompress(zipped) == plain


async def test_a_new_snapshot_is_served_immediately() -> None:
    """After the next snapshot a scrape and the front page give its figures."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        for path in ("/metrics", "/"):
            assert "vllm-0" in await (await client.get(path)).text()
        publisher.publish(snapshot(1, ["another"], ticks=2))
        for path in ("/metrics", "/"):
            text = await (await client.get(path)).text()
            assert "another" in text
            assert "vllm-0" not in text


async def test_before_the_first_snapshot() -> None:
    """Before the first tick completes goodwatt is healthy but not ready; the page says so and /metrics answers 503."""
    async with serving() as (publisher, client, _):
        assert publisher.latest is None
        for path, status, text in (("/metrics", 503, NOT_YET), ("/-/ready", 503, NOT_YET), ("/-/healthy", 200, "ok\n")):
            async with client.get(path) as answer:
                assert (answer.status, await answer.text()) == (status, text)
        async with client.get("/") as answer:
            assert answer.status == 200
            assert "No readings yet" in await answer.text()


async def test_ready_and_healthy() -> None:
    """After a snapshot goodwatt is ready and healthy."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        for path in ("/-/ready", "/-/healthy"):
            async with client.get(path) as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_unhealthy_when_ticks_stop() -> None:
    """When the newest snapshot is too old, health fails with one line; the metrics stay."""
    async with serving() as (publisher, client, clock):
        publisher.latest = small()
        clock.now += 31
        async with client.get("/-/healthy") as answer:
            assert answer.status == 503
            assert await answer.text() == "no tick has completed for 31 s; restart goodwatt and report its log\n"
        assert (await client.get("/metrics")).status == 200


async def test_unhealthy_with_a_reason() -> None:
    """The health check fails with the line that `unhealthy` returns."""
    async with serving(unhealthy=lambda: "nvml: driver says UNKNOWN; restart goodwatt") as (publisher, client, _):
        publisher.latest = small()
        async with client.get("/-/healthy") as answer:
            assert (answer.status, await answer.text()) == (503, "nvml: driver says UNKNOWN; restart goodwatt\n")


def test_stale() -> None:
    """A snapshot is stale after 30 s, or three intervals if longer; before the first, age counts from the start."""
    s = small()
    slow = replace(s, policy=replace(s.policy, interval_seconds=60.0))
    assert staleness(s, s.at_seconds + 30, 0) is None
    assert staleness(s, s.at_seconds + 30.1, 0) is not None
    assert staleness(slow, s.at_seconds + 180, 0) is None
    assert staleness(slow, s.at_seconds + 180.1, 0) is not None
    assert staleness(None, 30, 0) is None
    assert staleness(None, 31, 0) is not None


async def test_config_is_shown_as_given() -> None:
    """The configuration is plain text, exactly as given."""
    async with serving(config_text="servers: []\n# <b>\n") as (_, client, _clock), client.get("/config") as answer:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert await answer.text() == "servers: []\n# <b>\n"


async def test_not_found_has_links() -> None:
    """An unknown path gives 404 with links to the pages that exist, and does not echo the path.

    From any depth the links are relative, and lead to the same places behind a prefix."""
    wanted = ["/", "/metrics", "/config", "/-/healthy", "/-/ready"]
    async with serving() as (_, client, _clock):
        for path in ("/wp-login.php", "/wp-login/", "/a/wp-login", "/a/b/c/wp-login"):
            async with client.get(path) as answer:
                text = await answer.text()
            assert answer.status == 404
            links = re.findall(r'<a href="([^"]*)"', text)
            assert [urljoin(f"http://x{path}", link) for link in links] == [f"http://x{each}" for each in wanted]
            assert [urljoin(f"http://x/in/front{path}", link) for link in links] == [
                f"http://x/in/front{each}" for each in wanted
            ]
            assert "wp-login" not in text


@pytest.mark.parametrize("path", ["/metrics", "/", "/config", "/-/healthy", "/-/ready"])
async def test_head(path: str) -> None:
    """HEAD answers as GET does, without the body."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        wanted = await client.get(path)
        async with client.head(path) as answer:
            assert answer.status == 200
            assert await answer.read() == b""
            for name in ("Content-Length", "Content-Type"):
                assert answer.headers[name] == wanted.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_are_refused(method: str) -> None:
    """Only GET and HEAD are allowed, and the 405 says so."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        async with client.request(method, "/metrics", data=b"x" * 1000) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "GET, HEAD"
            assert await answer.text() == f"{method} is not allowed here; use GET or HEAD\n"


async def test_telemetry_path() -> None:
    """Metrics can be served on another path, even on the root, which then replaces the landing page."""
    async with serving(telemetry_path="/m/etrics") as (publisher, client, _):
        publisher.latest = small()
        assert "# HELP" in await (await client.get("/m/etrics")).text()
        assert (await client.get("/metrics")).status == 404
        assert 'href="./m/etrics"' in await (await client.get("/")).text()
    async with serving(telemetry_path="/") as (publisher, client, _):
        publisher.latest = small()
        assert "# HELP" in await (await client.get("/")).text()
        assert (await client.get("/-/events")).status == 404


@pytest.mark.parametrize("path", ["", "metrics", "/a?b", "/a#b", "/{name}", "/a%20b", "/\u00e4", "/a\nb", "/a b"])
def test_malformed_telemetry_paths(path: str) -> None:
    """A telemetry path that is not a plain absolute path is rejected with one line."""
    with pytest.raises(
        ValueError, match=r"^telemetry path '.*' must start with '/' and contain only letters, digits and '/-\._~'$"
    ):
        checked_path(path)


@pytest.mark.parametrize("path", ["/config", "/-/healthy", "/-/ready"])
def test_reserved_telemetry_paths(path: str) -> None:
    """A telemetry path that goodwatt uses itself is rejected."""
    with pytest.raises(ValueError, match="is reserved by goodwatt"):
        Publisher(ABOUT, telemetry_path=path)


async def test_a_busy_port_is_one_line() -> None:
    """A port in use raises an OSError whose text says what to do, and leaves nothing running."""
    async with serving() as (_, client, _clock):
        port = client._base_url.port  # type: ignore[union-attr]
        second = Publisher(ABOUT)
        with pytest.raises(OSError, match="cannot listen") as refused:
            await second.start("127.0.0.1", port)
        assert refused.value.strerror == (
            f"cannot listen on 127.0.0.1:{port}: address already in use; stop the program that uses it, or choose "
            "another port with --web.listen-address"
        )
        assert second._listening._server is None


async def test_every_interface() -> None:
    """With an empty host one port serves IPv4, and IPv6 where there is any; `::` likewise."""
    for host in ("", "::") if socket.has_dualstack_ipv6() else ("",):
        publisher = Publisher(ABOUT, clock=Clock())
        address = await publisher.start(host, 0)
        for family in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
            _, writer = await asyncio.open_connection(family, address.port)
            writer.close()
            await writer.wait_closed()
        await publisher.aclose()
        assert address == Address(host, address.port)


async def test_close_twice() -> None:
    """Closing twice, or before the start, is safe."""
    publisher = Publisher(ABOUT, clock=Clock())
    await publisher.aclose()
    await publisher.start("127.0.0.1", 0)
    await publisher.aclose()
    await publisher.aclose()


async def test_slow_clients_do_not_delay_others() -> None:
    """Clients that send half a request, or never read their answers, delay neither other clients nor the shutdown."""
    publisher = Publisher(ABOUT, clock=Clock())
    port = (await publisher.start("127.0.0.1", 0)).port
    publisher.latest = snapshot(64, [f"server-{index}" for index in range(20)], ticks=3)
    async with connecting(port) as connect:
        for _ in range(20):
            await connect(b"GET /metrics HT")
        for _ in range(5):
            await connect(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 30)
        began = time.perf_counter()
        reader, _ = await connect(b"GET /-/ready HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.read()
        assert time.perf_counter() - began < 2
        began = time.perf_counter()
        await publisher.aclose()
        assert time.perf_counter() - began < 2


async def test_idle_connections_are_closed() -> None:
    """A connection without a complete request is closed soon; after one it may idle for much longer."""
    clock = Clock()
    publisher = Publisher(ABOUT, config_text="ok", clock=clock)
    port = (await publisher.start("127.0.0.1", 0)).port
    async with connecting(port) as connect:
        half, _ = await connect(b"GET /metrics HT")
        whole, writer = await connect(ASK)
        assert b"200 OK" in await whole.readuntil(b"\n\r\n")
        await whole.readuntil(b"\n")
        publisher._listening._swept()
        clock.now += FIRST_REQUEST_TIMEOUT_SECONDS + 1
        publisher._listening._swept()
        assert await half.read() == b""
        writer.write(ASK)
        assert b"200 OK" in await whole.readuntil(b"\n\r\n")
        await whole.readuntil(b"\n")
        clock.now += IDLE_TIMEOUT_SECONDS
        publisher._listening._swept()
        writer.write(ASK)
        assert b"200 OK" in await whole.readuntil(b"\n\r\n")
        await whole.readuntil(b"\n")
        clock.now += IDLE_TIMEOUT_SECONDS + 1
        publisher._listening._swept()
        assert await whole.read() == b""
    await publisher.aclose()


async def test_idle_connections_are_swept_repeatedly() -> None:
    """A listening publisher sweeps its connections periodically."""
    publisher = Publisher(ABOUT, clock=Clock())
    await publisher.start("127.0.0.1", 0)
    first = publisher._listening._sweep
    publisher._listening._swept()
    assert publisher._listening._sweep is not None
    assert first is not None
    assert publisher._listening._sweep is not first
    assert publisher._listening._sweep.when() > asyncio.get_running_loop().time() + SWEEP_INTERVAL_SECONDS / 2
    first.cancel()
    await publisher.aclose()


async def test_too_many_connections() -> None:
    """A connection over the limit is closed immediately; those within it are served."""
    publisher = Publisher(ABOUT, config_text="ok", clock=Clock())
    port = (await publisher.start("127.0.0.1", 0)).port
    async with connecting(port) as connect:
        first, writer = await connect(b"")
        for _ in range(MAX_CONNECTIONS - 2):
            await connect(b"")
        last, _ = await connect(ASK)
        assert b"200 OK" in await last.readuntil(b"\n\r\n")  # accepted in order: all the others are there too
        over, _ = await connect(b"")
        assert await over.read() == b""
        writer.write(ASK)
        assert b"200 OK" in await first.readuntil(b"\n\r\n")
    await publisher.aclose()


async def test_long_headers_are_refused() -> None:
    """A request with an enormous header is rejected, and goodwatt keeps serving."""
    async with serving() as (publisher, client, _):
        publisher.latest = small()
        async with client.get("/metrics", headers={"X-Long": "x" * 100_000}) as answer:
            assert answer.status == 400
        assert (await client.get("/metrics")).status == 200


async def test_reload_by_post_or_put_if_enabled() -> None:
    """Reload answers 403 if disabled, else 200 or 500 with its result; other methods get 405 with the allowed ones."""
    answers = [Reloaded(True, "in force"), Reloaded(False, "g.yaml:1: no\nkept")]

    async def reload() -> Reloaded:
        return answers.pop(0)

    async with serving() as (_, client, _), client.post("/-/reload") as answer:
        assert answer.status == 403 and "--web.enable-lifecycle" in await answer.text()
    async with serving(reload=reload) as (_, client, _):
        async with client.post("/-/reload") as answer:
            assert (answer.status, await answer.text()) == (200, "in force\n")
        async with client.put("/-/reload") as answer:
            assert (answer.status, await answer.text()) == (500, "g.yaml:1: no\nkept\n")
        async with client.get("/-/reload") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST, PUT")
            assert "use POST or PUT" in await answer.text()


async def test_no_page_mixes_two_configurations() -> None:
    """An adopted configuration is served from the next snapshot on; `update_about` takes effect immediately."""
    first, second = snapshot(1), snapshot(2)
    async with serving(About("1", "3", "aaa"), config_text="old") as (publisher, client, _):

        async def shown() -> tuple[str, str]:
            async with client.get("/metrics") as page, client.get("/config") as config:
                return await page.text(), await config.text()

        publisher.update_about(About("1", "3", "bbb"))
        publisher.latest = first
        page, config = await shown()
        assert 'hash="bbb"' in page and config == "old\n"
        publisher.adopt(About("1", "3", "ccc", reload_ok=True), "new")
        assert await shown() == (page, config)
        publisher.latest = second
        page, config = await shown()
        assert 'hash="ccc"' in page and "goodwatt_config_last_reload_successful 1.0" in page and config == "new\n"
        publisher.update_about(About("1", "3", "ccc", reload_ok=False))
        page, config = await shown()
        assert "goodwatt_config_last_reload_successful 0.0" in page and config == "new\n"


async def test_non_http_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A port scan is answered with 400 and not logged; a bug in a request handler still is."""

    def bug() -> str | None:
        raise ZeroDivisionError

    async with serving(unhealthy=bug) as (_, client, _):
        assert client._base_url is not None and client._base_url.port is not None
        async with connecting(client._base_url.port) as connect:
            for request in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 70_000 + b"\r\n\r\n"):
                reader, _ = await connect(request)
                assert (await reader.readline()).split()[1] == b"400"
        assert not caplog.records
        assert (await client.get("/-/healthy")).status == 500
    assert [(r.name, r.levelname) for r in caplog.records] == [("goodwatt.publish.http", "ERROR")]
