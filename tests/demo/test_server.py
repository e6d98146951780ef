import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.demo.metrics_page import render_metrics_page
from goodwatt.demo.report import truth_report
from goodwatt.demo.server import EngineServer
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold
from tests.demo.builders import HandClock, live, load, spec

SLO = Slo(name="snappy", thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.1)), objective=0.95)


@asynccontextmanager
async def serving(engine: ClockedEngine) -> AsyncIterator[tuple[EngineServer, aiohttp.ClientSession]]:
    server = EngineServer(engine, epoch_seconds=1000.0)
    await server.start()
    try:
        async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(5)) as client:
            yield server, client
    finally:
        await server.aclose()


def busy(clock: HandClock) -> ClockedEngine:
    engine = live(spec(load(8.0)), clock, past_seconds=60.0, watched=[SLO])
    engine.read_now(lambda some: some.now_ns)
    return engine


async def text(client: aiohttp.ClientSession, path: str = "/metrics") -> str:
    async with client.get(path) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_the_served_page_is_the_engines_page() -> None:
    """GET /metrics returns the current page in the text format, and the same page until the clock advances."""
    clock = HandClock()
    engine = busy(clock)
    async with serving(engine) as (server, client):
        async with client.get("/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            served = await answer.text()
        assert served == engine.read_now(lambda some: render_metrics_page(some, 1000.0)) == await text(client)
        assert server.url.startswith("http://127.0.0.1:")
        clock.forward(5.0)
        assert await text(client) != served


async def test_a_page_may_be_asked_for_compressed() -> None:
    """The page is compressed only if the client sends Accept-Encoding: gzip."""
    async with serving(busy(HandClock())) as (_, client):
        for accepted, used in (("gzip", "gzip"), ("identity", None)):
            async with client.get("/metrics", headers={"Accept-Encoding": accepted}) as answer:
                assert answer.headers.get("Content-Encoding") == used
                assert "goodwatt_demo_simulated 1.0" in await answer.text()


async def test_the_truth_is_served_as_json() -> None:
    """GET /truth returns exact counts of requests, tokens, joules and watched SLOs, which agree with the page."""
    clock = HandClock()
    engine = busy(clock)
    async with serving(engine) as (_, client):
        async with client.get("/truth") as answer:
            truth = await answer.json()
        metrics = await text(client)
    assert truth == engine.read_now(truth_report)
    assert truth["simulated"] is True
    assert truth["at_seconds"] == 60.0
    assert f'vllm:generation_tokens_total{{engine="0",model_name="m"}} {float(truth["tokens"]["generated"])}' in metrics
    requests = truth["requests"]
    assert requests["arrived"] == sum(count for name, count in requests.items() if name != "arrived") > 300
    assert truth["joules"] == engine.read_now(lambda some: some.power.picojoules) / 1e12
    snappy = truth["slos"]["snappy"]
    assert snappy["thresholds"] == {"ttft": 0.5, "tpot": 0.1}
    assert 0 < snappy["good"] <= snappy["eligible"] == requests["succeeded"]


async def test_joules_of_a_server_cover_all_its_gpus() -> None:
    """A server on two GPUs reports the joules of both."""
    clock = HandClock()
    engine = live(spec(load(8.0), gpus=2), clock, past_seconds=10.0)
    assert engine.read_now(truth_report)["joules"] == engine.read_now(lambda some: some.power.picojoules) * 2 / 1e12


async def test_other_paths_answer_as_a_vllm_would_and_say_simulated() -> None:
    """/health is 200, /v1/models lists the served model, / describes the server, and other paths are 404."""
    async with serving(busy(HandClock())) as (_, client):
        assert "simulated" in await text(client, "/health")
        async with client.get("/v1/models") as answer:
            assert [model["id"] for model in (await answer.json())["data"]] == ["m"]
        async with client.get("/") as answer:
            assert (await answer.json())["simulated"] is True
        async with client.get("/nothing") as answer:
            assert answer.status == 404


async def test_a_restart_shows_in_the_page_and_not_in_the_truth() -> None:
    """The restart fault resets the page's counters but not the ground truth."""
    engine = busy(HandClock())
    async with serving(engine) as (server, client):
        server.faults.restart()
        assert 'vllm:generation_tokens_total{engine="0",model_name="m"} 0.0' in await text(client)
    assert engine.read_now(lambda some: some.truth.generated_tokens) > 0


async def test_slow_steps_can_be_switched_on_and_off() -> None:
    """With steps four times as long as usual, fewer tokens come out in the same time."""
    clock = HandClock()
    engine = busy(clock)
    grown = []
    async with serving(engine) as (server, _):
        for factor in (1.0, 4.0):
            server.faults.slow_down(factor)
            before = engine.read_now(lambda some: some.truth.generated_tokens)
            clock.forward(5.0)
            grown.append(engine.read_now(lambda some: some.truth.generated_tokens) - before)
        with pytest.raises(ValueError, match="above 0"):
            server.faults.slow_down(0.0)
    assert grown[1] < grown[0] * 0.6


async def test_an_http_error_can_be_switched_on_and_off() -> None:
    """While a status is set every path responds with it."""
    async with serving(busy(HandClock())) as (server, client):
        for status in (500, 503, 401):
            server.faults.http_status = status
            async with client.get("/metrics") as answer:
                assert answer.status == status
        server.faults.http_status = None
        assert "vllm:" in await text(client)


async def test_a_hanging_server_answers_once_it_is_released() -> None:
    """A request to a hanging server is answered only after the release."""
    async with serving(busy(HandClock())) as (server, client):
        server.faults.hang()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await text(client)
        waiting = asyncio.ensure_future(text(client))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        server.faults.release()
        assert "vllm:" in await waiting


async def test_a_hanging_server_closes_quickly() -> None:
    """aclose takes well under two seconds even while a request is waiting."""
    async with serving(busy(HandClock())) as (server, client):
        server.faults.hang()
        waiting = asyncio.ensure_future(text(client))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await server.aclose()
        assert time.monotonic() - began < 1.5
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_taken_port_is_an_oserror() -> None:
    """Starting on a port that is in use raises OSError."""
    async with serving(busy(HandClock())) as (server, _):
        second = EngineServer(busy(HandClock()), 0.0)
        with pytest.raises(OSError, match="address already in use"):
            await second.start(int(server.url.rsplit(":", 1)[1]))
        await second.aclose()
