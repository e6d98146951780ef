import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from goodwatt.engines import load_profile
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.source import EngineSource, _retrieve_exception
from goodwatt.sources.http.errors import connection_error
from goodwatt.sources.http.fetch import MAX_PAGE_BYTES
from tests.engines.golden import HERE, PROFILES, reading_of
from tests.engines.test_detection import LLAMA_501
from tests.engines.test_profile import MINIMAL
from tests.fakes.http_server import FakeServer, Reply, gzipped, page, serving, unused_port

VLLM = (HERE / "vllm/0.32.0/after.prom").read_text()
SGLANG = (HERE / "sglang/0.5.23/multiproc-generated.prom").read_text()
LLAMA = (HERE / "llamacpp/b11434/after.prom").read_text()
ANY_CONNECTION = ConnectionKey("x.invalid", 8000, False, True, None, None, None)
MODELS = Reply(b'{"object":"list","data":[{"id":"gemma3-270m"}]}', content_type="application/json")


@asynccontextmanager
async def reading_from(url: str, **section: Any) -> AsyncIterator[EngineSource]:
    source = EngineSource(ServerSection(name="a", url=url, **section), PROFILES, clock=lambda: 5.0)
    try:
        yield source
    finally:
        await source.aclose()


async def read(server: FakeServer, path: str = "", **section: Any) -> EngineReading:
    async with reading_from(server.url + path, **section) as source:
        return await source.read()


async def failure(url: str, **section: Any) -> tuple[Reason, str]:
    async with reading_from(url, **section) as source:
        with pytest.raises(SourceUnavailable) as caught:
            await source.read()
    assert "\n" not in caught.value.detail
    return caught.value.reason, caught.value.detail


async def test_json_backoff() -> None:
    """JSON may be a queue that a read drains: for a minute the same error is raised without a request."""
    now = [0.0]
    async with serving(Reply(b"[]", content_type="application/json")) as server:
        source = EngineSource(ServerSection(name="a", url=server.url), PROFILES, clock=lambda: now[0])
        for at, asked in ((0.0, 1), (5.0, 1), (59.0, 1), (60.0, 2)):
            now[0] = at
            with pytest.raises(SourceUnavailable, match="serves JSON, not metrics"):
                await source.read()
            assert len(server.requests) == asked
        await source.aclose()


async def test_reads_a_server() -> None:
    """A server's page gives the reading of its capture, with the server's name and the response time."""
    async with serving(page(VLLM)) as server, reading_from(server.url) as source:
        reading = await source.read()
    expected = reading_of("vllm", VLLM)
    assert (reading.counters, reading.gauges, reading.histograms) == (
        expected.counters,
        expected.gauges,
        expected.histograms,
    )
    assert (reading.server, reading.at_seconds, reading.engine, reading.simulated) == ("a", 5.0, "vllm", False)
    assert source.name == "server/a"


async def test_reads_between_two_ticks() -> None:
    """Pages read since the last tick come with the tick's own page, or with the next one if that read fails."""
    now, go_on, slept = [0.0], asyncio.Semaphore(0), []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await go_on.acquire()

    def clock() -> float:
        now[0] += 0.1
        return now[0]

    async with serving(page(VLLM)) as server:
        section = ServerSection(name="a", url=server.url, read_interval_seconds=0.2)
        source = EngineSource(section, PROFILES, clock=clock, cpu_clock=lambda: 0.0, sleep=sleep)
        assert [(await source.read()).earlier for _ in range(2)] == [(), ()]
        now[0] += 1.0
        assert (await source.read()).earlier == ()
        asked, before = len(server.requests), len(slept)
        go_on.release()
        while len(slept) < before + 2:  # it sleeps again once the page is read
            await asyncio.sleep(0)
        server.routes["/metrics"] = Reply(status=503)
        with pytest.raises(SourceUnavailable):
            await source.read()
        server.routes["/metrics"] = page(VLLM)
        reading = await source.read()
        await source.aclose()
    assert len(reading.earlier) == 1
    assert reading.earlier[0].at_seconds < reading.at_seconds
    assert (reading.earlier[0].earlier, len(server.requests) - asked) == ((), 3)


async def test_half_of_a_pair(caplog: pytest.LogCaptureFixture) -> None:
    """A server whose prompts another one computes is logged once, with the setting, unless it has a role."""
    name = 'vllm:prompt_tokens_by_source_total{engine="0",model_name="tiny",source="external_kv_transfer"} '
    assert f"{name}0.0" in VLLM
    for role, lines in (("any", 1), ("decode", 0)):
        caplog.clear()
        async with serving(page(VLLM)) as server, reading_from(server.url, role=role) as source:
            for transferred in (0, 70, 70, 90):
                server.routes["/metrics"] = page(VLLM.replace(f"{name}0.0", f"{name}{transferred}"))
                assert (await source.read()).role == role
        found = [line for line in caplog.messages if "another server computes its prompts" in line]
        assert len(found) == lines
        assert all(line.startswith("server/a: ") and "role: decode" in line for line in found)


async def test_simulated() -> None:
    """A source created as simulated marks its readings so."""
    async with serving(page(VLLM)) as server:
        source = EngineSource(ServerSection(name="a", url=server.url), PROFILES, simulated=True)
        assert (await source.read()).simulated
        await source.aclose()


async def test_request() -> None:
    """The request asks for text, not OpenMetrics, offers gzip, and sends the operator's headers."""
    async with serving(page(VLLM)) as server:
        await read(server, headers={"X-Team": "a", "user-agent": "mine"})
    headers = {name.lower(): value for name, value in server.requests[0].headers.items()}
    assert headers["accept"].startswith("text/plain")
    assert "openmetrics" not in headers["accept"]
    assert headers["accept-encoding"] == "gzip"
    assert headers["x-team"] == "a"
    assert headers["user-agent"] == "mine"


@pytest.mark.parametrize("path", ["", "/", "/metrics"])
async def test_default_path(path: str) -> None:
    """A URL without a path gets the default metrics path."""
    async with serving(page(VLLM)) as server:
        assert (await read(server, path)).engine == "vllm"


async def test_path_and_query_of_the_url() -> None:
    """A URL's path and query are kept, and a router's ?model= sets the model name."""
    async with serving({"/x/m": page(LLAMA), "/metrics": page(LLAMA), "/v1/models": MODELS}) as server:
        kept = await read(server, "/x/m?model=phi&autoload=false")
        await read(server, "?model=phi")
    assert [request.path for request in server.requests] == ["/x/m?model=phi&autoload=false", "/metrics?model=phi"]
    assert {key.model for key in kept.counters} == {"phi"}


async def test_paths_of_other_engines() -> None:
    """If a URL without a path has no /metrics, the page is read where other engines have it."""
    nim = (HERE / "nim/1.x/datadog-fixture.prom").read_text()
    async with serving({"/v1/metrics": page(nim)}) as server, reading_from(server.url) as source:
        assert [(await source.read()).engine for _ in range(2)] == ["nim", "nim"]
    assert [request.path for request in server.requests] == [
        "/metrics",
        "/prometheus/metrics",
        "/v1/metrics",
        "/v1/metrics",
    ]


async def test_only_a_url_without_a_path_is_looked_for_elsewhere() -> None:
    """A configured path or engine is taken as it is."""
    for path, section in (("/metrics", {}), ("", {"engine": "vllm"})):
        async with serving({"/v1/metrics": page(VLLM)}) as server:
            assert (await failure(server.url + path, **section))[0] is Reason.HTTP_ERROR
            assert [request.path for request in server.requests] == ["/metrics"]


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/openai/v1"])
async def test_path_of_the_api(path: str) -> None:
    """A URL that clients use for the API gets a message with the right one."""
    async with serving({"/metrics": page(VLLM)}) as server:
        detail = (await failure(server.url + path))[1]
    assert detail.endswith(f"that is the path of the API, not of the metrics page; write url: {server.url}")


async def test_path_of_the_named_engine() -> None:
    """A configured engine sets the default path."""
    profile = load_profile(MINIMAL.replace("name: toy", "name: toy\npath: /deep/metrics"))
    async with serving({"/deep/metrics": page('toy_tokens_total{model="m"} 3\n')}) as server:
        source = EngineSource(ServerSection(name="a", url=server.url, engine="toy"), {"toy": profile})
        assert list((await source.read()).counters.values()) == [3.0]
        await source.aclose()


async def test_one_connection() -> None:
    """Reads of a server with keep-alive share one connection."""
    async with serving(page(VLLM)) as server, reading_from(server.url) as source:
        for _ in range(3):
            await source.read()
        assert server.connections == 1


async def test_connection_closed_while_idle() -> None:
    """A server that closes idle connections, as llama-server does, is read without a failure."""
    routes = {"/metrics": Reply(LLAMA.encode(), close=True), "/v1/models": Reply(MODELS.body, close=True)}
    async with serving(routes) as server, reading_from(server.url) as source:
        for _ in range(3):
            assert (await source.read()).engine == "llamacpp"
            await asyncio.sleep(0.01)


async def test_gzip() -> None:
    """A gzip page is read."""
    async with serving(gzipped(VLLM.encode())) as server:
        assert (await read(server)).engine == "vllm"


async def test_openmetrics() -> None:
    """A server that only serves OpenMetrics is read."""
    text = (HERE / "vllm/0.32.0/openmetrics-from-after.prom").read_text()
    async with serving(Reply(text.encode(), content_type="application/openmetrics-text")) as server:
        assert (await read(server)).counters == reading_of("vllm", VLLM).counters


async def test_model_name_is_requested_once() -> None:
    """If no label has the model, the server's model list is requested once."""
    async with serving({"/metrics": page(LLAMA), "/v1/models": MODELS}) as server, reading_from(server.url) as source:
        for _ in range(3):
            assert {key.model for key in (await source.read()).counters} == {"gemma3-270m"}
    assert [request.path for request in server.requests].count("/v1/models") == 1


def _models(name: str) -> Reply:
    return Reply(f'{{"data":[{{"id":"{name}"}}]}}'.encode(), content_type="application/json")


def _counted(name: str, reading: EngineReading) -> float:
    return sum(v for key, v in reading.counters.items() if (key.signal, key.model) == (Signal.GENERATED_TOKENS, name))


async def test_a_swapped_model_gets_its_own_name() -> None:
    """When the counters fall, the server is asked for its model again, and that page already counts for it."""
    routes = {"/metrics": page("llamacpp:tokens_predicted_total 400\n"), "/v1/models": _models("small")}
    async with serving(routes) as server, reading_from(server.url) as source:
        assert _counted("small", await source.read()) == 400
        server.routes |= {"/metrics": page("llamacpp:tokens_predicted_total 30\n"), "/v1/models": _models("large")}
        swapped = await source.read()
    assert (_counted("large", swapped), _counted("small", swapped)) == (30, 0)


async def test_a_model_is_asked_for_again_after_a_failed_read() -> None:
    """A server that was away may have another model, and keeps its name where it does not tell."""
    routes = {"/metrics": page(LLAMA), "/v1/models": _models("small")}
    async with serving(routes) as server, reading_from(server.url) as source:
        await source.read()
        for models, name in ((_models("large"), "large"), (Reply(status=503), "large")):
            server.routes |= {"/metrics": Reply(status=503), "/v1/models": models}
            with pytest.raises(SourceUnavailable):
                await source.read()
            server.routes["/metrics"] = page(LLAMA)
            assert {key.model for key in (await source.read()).counters} == {name}


@pytest.mark.parametrize(
    "models", [Reply(status=503), Reply(b"{}"), Reply(b"<html>"), Reply(b"x", close=True, content_length=9)]
)
async def test_unusable_model_list(models: Reply) -> None:
    """Without a usable model list the page is still read, and after three attempts no more are made."""
    routes = {"/metrics": page(LLAMA), "/v1/models": models}
    async with serving(routes) as server, reading_from(server.url) as source:
        for _ in range(5):
            assert {key.model for key in (await source.read()).counters} == {"default"}
        assert [request.path for request in server.requests].count("/v1/models") == 3


async def test_model_list_that_hangs() -> None:
    """A hanging model list delays the read to its deadline, but the page is read."""
    async with serving({"/metrics": page(LLAMA), "/v1/models": Reply(hang=True)}) as server:
        assert (await read(server, timeout_seconds=0.2)).engine == "llamacpp"


async def test_engine_is_swapped() -> None:
    """Another engine at the address is detected immediately; a failure in between changes nothing."""
    async with serving(page(VLLM)) as server, reading_from(server.url) as source:
        assert (await source.read()).engine == "vllm"
        server.routes["/metrics"] = Reply(status=503)
        with pytest.raises(SourceUnavailable):
            await source.read()
        server.routes["/metrics"] = page(SGLANG)
        assert (await source.read()).engine == "sglang"
        server.routes["/metrics"] = page("sglang:context_len 8\n")
        assert not (await source.read()).counters


async def test_a_broken_page_in_between() -> None:
    """A counter malformed on one page neither drops nor resets."""
    line = 'vllm:generation_tokens_total{engine="0",model_name="tiny"} %s\n'
    async with serving(page(line % 100)) as server, reading_from(server.url) as source:
        values = []
        for text in (100, "1e308", "NaN", 120):
            server.routes["/metrics"] = page(line % text)
            reading = await source.read()
            values.append(next(v for k, v in reading.counters.items() if k.signal is Signal.GENERATED_TOKENS))
    assert values == [100.0, 100.0, 100.0, 120.0]


@pytest.mark.parametrize(
    "metric", ["generation_tokens_total", "num_requests_running", "time_to_first_token_seconds_count"]
)
async def test_too_many_models(metric: str) -> None:
    """256 models are read; a page with more would delay every other server, and is rejected as too large."""
    edge = 'le="+Inf",' if metric.endswith("_count") else ""
    metric = metric.replace("_count", "_bucket")
    lines = [f'vllm:{metric}{{{edge}model_name="m{number}"}} 1\n' for number in range(257)]
    async with serving(page("".join(lines[1:]))) as server:
        await read(server)
        server.routes["/metrics"] = page("".join(lines))
        reason, detail = await failure(server.url)
    line = f"server/a: {server.url}/metrics has 257 models, above the limit of 256; is it one server's page?"
    assert (reason, detail) == (Reason.TOO_LARGE, line)


async def test_a_huge_page_does_not_block_the_loop() -> None:
    """While a page of megabytes is parsed, other tasks run, and the page is read."""
    filler = "".join(f'other_metric{{n="{n}"}} {n}\n' for n in range(300_000))
    gaps = [0.0]

    async def other_work() -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - before)
            before = time.monotonic()

    async with serving(page(filler + VLLM)) as server, reading_from(server.url, timeout_seconds=30.0) as source:
        work = asyncio.create_task(other_work())
        assert (await source.read()).engine == "vllm"
        work.cancel()
    assert max(gaps) < 0.5


async def test_a_page_still_being_parsed_is_not_scraped_again() -> None:
    """Parsing past the deadline is reported and not started twice; later reads succeed."""
    async with serving(page(VLLM)) as server, reading_from(server.url) as source:
        source._parsing = asyncio.get_running_loop().create_future()
        with pytest.raises(SourceUnavailable) as why:
            await source.read()
        assert why.value.reason is Reason.TOO_LARGE
        source._parsing.set_exception(ValueError)
        _retrieve_exception(source._parsing)
        assert (await source.read()).engine == "vllm"


async def test_cancelling_a_huge_page_leaves_nothing_behind() -> None:
    """A read cancelled during parsing ends quietly, and the next page is read."""
    filler = "".join(f'other_metric{{n="{n}"}} {n}\n' for n in range(100_000))
    async with serving(page(filler + VLLM)) as server, reading_from(server.url, timeout_seconds=30.0) as source:
        first = asyncio.create_task(source.read())
        while source._parsing is None:
            await asyncio.sleep(0.001)
        first.cancel()
        await source._parsing
        assert (await source.read()).engine == "vllm"


async def test_damage_is_logged_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    """Invalid values are logged once with URL and metric, and again only after a clean page."""
    line = 'vllm:generation_tokens_total{engine="0",model_name="tiny"} %s\n'
    logged = []
    async with serving(page(line % 1)) as server, reading_from(server.url) as source:
        for text in (line % 1, line % "NaN", line % -5, line % "1e300", line % 2, line % 3 + line % 3):
            caplog.clear()
            server.routes["/metrics"] = page(text)
            await source.read()
            logged.append([record.getMessage() for record in caplog.records])
    what = "that are malformed, repeated, negative, NaN or huge"
    end = "; their series keep their last values; check what writes this page"
    place = f"server/a: ignored 1 lines of {server.url}/metrics {what}"
    assert logged == [[], [f"{place}, in vllm:generation_tokens_total{end}"], [], [], [], [f"{place}{end}"]]


async def test_unknown_outcome_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A finish reason that the profile does not map is logged the first time."""
    text = 'vllm:request_success_total{engine="0",finished_reason="quota",model_name="m"} 1\n'
    async with serving(page(text)) as server, reading_from(server.url) as source:
        with caplog.at_level(logging.WARNING):
            await source.read()
            await source.read()
    assert [record.getMessage() for record in caplog.records] == [
        "server/a: requests finish with 'quota', which profile vllm does not map"
    ]


async def test_endless_unknown_outcomes_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Ever new finish reasons are logged a limited number of times and all read."""
    line = 'vllm:request_success_total{engine="0",finished_reason="%d",model_name="m"} 1\n'
    async with serving(page(line % 0)) as server, reading_from(server.url) as source:
        for n in range(0, 90, 3):
            server.routes["/metrics"] = page("".join(line % one for one in range(n, n + 3)))
            assert len((await source.read()).counters) == 3
    assert sum("does not map" in record.getMessage() for record in caplog.records) == 20


async def test_mixed_processes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A decreasing start time shows several engines behind one address: one line says what to do."""
    text = 'process_start_time_seconds %d\nvllm:prompt_tokens_total{model_name="m"} 5\n'
    async with serving(page(text % 2000)) as server, reading_from(server.url) as source:
        for started in (2000, 3000, 2000, 3000, 2000):
            server.routes["/metrics"] = page(text % started)
            await source.read()
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith(f"server/a: several processes answer at {server.url}/metrics")


async def test_connection_refused() -> None:
    """A closed port is reported as connection refused."""
    port = unused_port()
    assert await failure(f"http://127.0.0.1:{port}") == (
        Reason.UNREACHABLE,
        f"server/a: cannot reach http://127.0.0.1:{port}/metrics: Connection refused; is the server running?",
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".invalid", "1.2.3"])
async def test_invalid_host_name(host: str) -> None:
    """A syntactically invalid host name is reported without asking a resolver."""
    reason, detail = await failure(f"http://{host}:8000", timeout_seconds=5)
    assert reason is Reason.UNREACHABLE
    assert detail.endswith("; check the url")


def test_unresolvable_host_name() -> None:
    """A host name that does not resolve is reported."""
    error = aiohttp.ClientConnectorDNSError(ANY_CONNECTION, OSError(-2, "Name or service not known"))
    found = connection_error("server/a", URL("http://x.invalid:8000/metrics?key=k"), error)
    assert found.detail == "server/a: http://x.invalid:8000/metrics: the host name does not resolve; check the url"


async def test_silent_server() -> None:
    """A server that accepts and sends nothing times out at its own deadline, before the sampler's."""
    async with serving(Reply(hang=True)) as server:
        began = time.monotonic()
        reason, detail = await failure(server.url, timeout_seconds=0.2)
        assert time.monotonic() - began < 1.0
    assert reason is Reason.TIMEOUT
    assert detail == (
        f"server/a: {server.url}/metrics did not respond in full within 0.2 s; is it overloaded? see timeout_seconds"
    )


async def test_trickling_server() -> None:
    """A server that trickles bytes times out at the deadline too."""
    async with serving(Reply(VLLM.encode(), trickle_seconds=0.02)) as server:
        began = time.monotonic()
        assert (await failure(server.url, timeout_seconds=0.2))[0] is Reason.TIMEOUT
        assert time.monotonic() - began < 1.0


async def test_own_deadline_comes_first() -> None:
    """The source's deadline leaves room for its clearer timeout message."""
    async with reading_from("http://127.0.0.1:1", timeout_seconds=3) as source:
        assert source.deadline_seconds > 3


@pytest.mark.parametrize(
    ("raw", "reason", "words"),
    [
        (b"", Reason.UNREACHABLE, "closed the connection without a response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Reason.NOT_METRICS, "does not speak HTTP"),
        (b"\x00\x01\x02\xff" * 100 + b"\r\n\r\n", Reason.NOT_METRICS, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", Reason.NOT_METRICS, "does not speak HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nvllm:x 1\n",
            Reason.UNREACHABLE,
            "closed the connection in the middle",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nvllm:x 1\n\r\n",
            Reason.UNREACHABLE,
            "closed the connection in the middle",
        ),
    ],
)
async def test_broken_responses(raw: bytes, reason: Reason, words: str) -> None:
    """Incomplete or invalid HTTP responses have distinct reasons."""
    async with serving(Reply(raw=raw)) as server:
        found = await failure(server.url)
    assert found[0] is reason
    assert words in found[1]


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [
        (
            Reply(status=404),
            Reason.HTTP_ERROR,
            "returned HTTP 404; if this is SGLang, start it with --enable-metrics; if this is TensorRT-LLM, "
            "set return_perf_metrics: true in its options and give the path /prometheus/metrics; if it has no metrics "
            "page, as Ollama and LM Studio, measure it through goodwatt's proxy (docs/proxy.md)",
        ),
        (Reply(status=400), Reason.HTTP_ERROR, "returned HTTP 400; check the url's path"),
        (Reply(status=204), Reason.HTTP_ERROR, "returned HTTP 204; check the url's path"),
        (Reply(status=500), Reason.HTTP_ERROR, "returned HTTP 500; see the server's own log"),
        (Reply(status=501), Reason.HTTP_ERROR, "returned HTTP 501; see the server's own log"),
        (
            Reply(status=503, content_length=9, close=True),
            Reason.HTTP_ERROR,
            "returned HTTP 503; see the server's own log",
        ),
        (Reply(status=401), Reason.AUTH_REFUSED, "denied access with HTTP 401; give bearer_token_file or basic_auth"),
        (Reply(status=403), Reason.AUTH_REFUSED, "denied access with HTTP 403; give bearer_token_file or basic_auth"),
        (
            Reply(b"<!doctype html><html></html>"),
            Reason.NOT_METRICS,
            "serves an HTML page, not metrics; check the url's path, usually /metrics",
        ),
        (
            Reply(b"hello", content_type="text/html"),
            Reason.NOT_METRICS,
            "serves an HTML page, not metrics; check the url's path, usually /metrics",
        ),
        (
            Reply(b'[{"iter": 1}]', content_type="application/json"),
            Reason.NOT_METRICS,
            "serves JSON, not metrics; check the url's path (TensorRT-LLM serves metrics at /prometheus/metrics)",
        ),
        (Reply(b""), Reason.NOT_METRICS, "serves an empty page; if the server has just started, retry soon"),
        (
            Reply(b"# HELP only comments\n"),
            Reason.NOT_METRICS,
            "serves something other than Prometheus metrics; check the url's path, usually /metrics",
        ),
        (
            Reply(bytes(range(128, 256)) * 9),
            Reason.NOT_METRICS,
            "serves something other than Prometheus metrics; check the url's path, usually /metrics",
        ),
        (
            Reply(b"x", headers={"Content-Encoding": "br"}),
            Reason.NOT_METRICS,
            "answers in an encoding that was not requested; turn off compression for metrics",
        ),
        (
            Reply(b"no gzip at all", headers={"Content-Encoding": "gzip"}),
            Reason.NOT_METRICS,
            "declares gzip but sends something else; check the proxies in between",
        ),
        (
            Reply(gzipped(VLLM.encode()).body[:-40], headers={"Content-Encoding": "gzip"}),
            Reason.UNREACHABLE,
            "closed the connection in the middle of the response",
        ),
    ],
)
async def test_wrong_responses(reply: Reply, reason: Reason, detail: str) -> None:
    """Each wrong response has its reason and one line that says what to do."""
    async with serving(reply) as server:
        assert await failure(server.url) == (reason, f"server/a: {server.url}/metrics {detail}")


async def test_metrics_disabled() -> None:
    """Engines with metrics disabled are distinguished from broken ones, with the flag that enables them."""
    off = (HERE / "other/vllm-disable-log-stats.prom").read_text()
    for reply, engine, advice in (
        (Reply(LLAMA_501.encode(), status=501), "auto", "start llama-server with --metrics"),
        (Reply(status=404), "sglang", "start it with --enable-metrics"),
        (page(off), "vllm", "start it without --disable-log-stats"),
        (page(off), "auto", "if this is vLLM, start it without --disable-log-stats"),
    ):
        async with serving(reply) as server:
            reason, detail = await failure(server.url, engine=engine)
        assert reason is Reason.METRICS_OFF
        assert detail.startswith("server/a: ")
        assert detail.endswith(f"; {advice}")


async def test_unknown_engine() -> None:
    """A page that matches no profile is described by some of its metric names."""
    async with serving(page("python_info 1\nb_total 1\na_total 1\n")) as server:
        reason, detail = await failure(server.url)
    assert reason is Reason.UNKNOWN_ENGINE
    assert detail == (
        "server/a: the page is not from any engine in `goodwatt engines`; it has metrics such as a_total, b_total; "
        "check url and engine"
    )


async def test_too_large() -> None:
    """A page above 16 MiB is abandoned while it arrives, so its size costs no memory."""
    chunk = b"# " + b"x" * 1_000_000 + b"\n"
    async with serving(Reply(chunk * 18)) as server:
        assert await failure(server.url) == (
            Reason.TOO_LARGE,
            f"server/a: {server.url}/metrics serves more than 16 MiB; is it the metrics page?",
        )


async def test_gzip_bomb() -> None:
    """The limit applies to the decompressed size."""
    async with serving(gzipped(b"# x\n" * (MAX_PAGE_BYTES // 2))) as server:
        assert (await failure(server.url))[0] is Reason.TOO_LARGE


async def test_redirect_on_the_same_server() -> None:
    """A redirect within the same origin is followed, with credentials."""
    async with serving(
        {"/metrics": Reply(status=307, headers={"Location": "/metrics/"}), "/metrics/": page(VLLM)}
    ) as s:
        assert (await read(s, headers={"X-Key": "k"})).engine == "vllm"
        assert s.requests[1].headers["X-Key"] == "k"


async def test_redirect_to_another_host() -> None:
    """A redirect to another origin is not followed, so credentials do not leak."""
    async with serving(page(VLLM)) as other:
        reply = Reply(status=302, headers={"Location": f"{other.url}/metrics?key=hidden"})
        async with serving(reply) as server:
            assert await failure(server.url) == (
                Reason.HTTP_ERROR,
                f"server/a: {server.url}/metrics redirects to {other.url}, which is not followed; "
                "set url to the final address",
            )
        assert not other.requests


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/metrics", "redirects in a loop; check the url"),
        ("", "redirects in a loop; check the url"),
        ("http://[", "redirects without a valid address"),
        ("mailto:x", "redirects without a valid address"),
    ],
)
async def test_redirects_that_lead_nowhere(location: str, words: str) -> None:
    """Redirect loops and invalid locations give a message, not an exception."""
    async with serving(Reply(status=301, headers={"Location": location})) as server:
        reason, detail = await failure(server.url)
    assert reason is Reason.HTTP_ERROR
    assert words in detail


async def test_query_is_never_shown() -> None:
    """A URL's query may contain a key: no message repeats it."""
    async with serving(Reply(status=500)) as server:
        _, detail = await failure(f"{server.url}/metrics?key=hunter2")
    assert "hunter2" not in detail
    assert "/metrics returned" in detail


async def test_unread_source_closes() -> None:
    """A source that was never read can be closed."""
    async with reading_from("http://127.0.0.1:1"):
        pass


async def test_miscounted_successes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning names the contradiction, however often the page repeats it; a few requests are a torn page."""
    tpot = 'sglang:request_time_per_output_token_seconds_%s{model_name="m"%s} 50\n'
    timed = "".join(tpot % one for one in (("bucket", ',le="0.1"'), ("bucket", ',le="+Inf"'), ("count", "")))
    text = timed + 'sglang:num_requests_total{model_name="m"} 50\n'
    text += 'sglang:num_aborted_requests_total{model_name="m"} %d\n'
    async with serving(page(text % 3)) as server, reading_from(server.url) as source:
        for aborted in (3, 49, 50, 50):
            server.routes["/metrics"] = page(text % aborted)
            await source.read()
    (line,) = (record.getMessage() for record in caplog.records)
    assert line == (
        "server/a: the page counts 49 requests as aborted that its tpot histogram observed as successes; they count as "
        "successes; SGLang does this with several tokenizer workers"
    )
