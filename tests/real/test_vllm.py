"""goodwatt with a real vLLM on the CPU and a random-weight model: tokens, requests, and metrics that are off."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.real import watching
from tests.real.engines import Child, Goodwatt, free_port, goodwatt, vllm, vllm_model
from tests.real.lora import adapter
from tests.real.pages import Page, fetch, until
from tests.real.traffic import Usage, hang_up, load

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

MODEL = "fast"
ADAPTERS = ("formal", "terse")


async def own(engine: Child) -> tuple[float | None, ...]:
    """Prompt, cached prompt and generated tokens, and finished requests, from the engine's own page."""
    page = await fetch(f"{engine.url}/metrics")
    names = "prompt_tokens", "prompt_tokens_cached", "generation_tokens", "request_success"
    return tuple(page.total(f"vllm:{name}_total", model_name=MODEL) for name in names)


def counted(page: Page) -> tuple[float | None, ...]:
    """The same four as counted by goodwatt."""
    return (*watching.counted(page, "vllm"), page.total(watching.REQUESTS, server="vllm", outcome="success"))


def by_client(used: Usage, page: Page) -> tuple[float | None, ...]:
    """The same four as counted by the client; vLLM reports cached tokens to it only on request."""
    return used.prompt, watching.counted(page, "vllm")[1], used.generated, used.requests


async def test_counts_are_the_engines_own_across_a_restart(tmp_path: Path) -> None:
    """Tokens and requests equal vLLM's and its clients' counts even if it is killed between two reads."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        AsyncExitStack() as servers,
        goodwatt(watching.config("vllm", url), tmp_path) as watch,
        watching.counters(watch) as looked,
    ):
        engine = await servers.enter_async_context(vllm(tmp_path, MODEL, port=port))
        page = await until(watch, lambda p: counted(p) == (0, 0, 0, 0), "the first page is zero")
        assert page.series("goodwatt_server_info", server="vllm", engine="vllm")
        before = await load(url, MODEL, requests=60, concurrency=8)
        page = await until(watch, lambda p: counted(p) == by_client(before, p), f"{before}")
        at_crash = await own(engine)
        assert counted(page) == at_crash
        with watch.asleep():
            engine.kill()
            engine = await servers.enter_async_context(vllm(tmp_path, MODEL, port=port))
            both = before + await load(url, MODEL, requests=20, concurrency=8)
        page = await until(watch, lambda p: counted(p) == by_client(both, p), f"{both}")
        assert counted(page) == tuple(map(_sum, at_crash, await own(engine)))
        await _tokens_of_a_client_that_left(watch, engine, at_crash)
    assert not looked.falls
    assert looked.looks > 10


async def test_two_adapters_and_a_restart(tmp_path: Path) -> None:
    """A vLLM that serves its model and two LoRA adapters books all three under the base model's name, and so does
    goodwatt, exactly, although vLLM is killed while requests alternate between them.
    """
    port = free_port()
    url, base = f"http://127.0.0.1:{port}", vllm_model(MODEL)
    modules = [f"{name}={adapter(tmp_path / name, base)}" for name in ADAPTERS]
    options = ["--enable-lora", "--max-loras", "2", "--max-lora-rank", "8", "--lora-modules", *modules]
    async with (
        AsyncExitStack() as servers,
        goodwatt(watching.config("vllm", url), tmp_path) as watch,
        watching.counters(watch) as looked,
    ):
        engine = await servers.enter_async_context(vllm(tmp_path, MODEL, *options, port=port))
        await until(watch, lambda p: counted(p) == (0, 0, 0, 0), "the first page is zero")
        before = await _in_turn(url)
        page = await until(watch, lambda p: counted(p) == by_client(before, p), f"{before}")
        at_crash = await own(engine)
        assert counted(page) == at_crash
        with watch.asleep():
            engine.kill()
            engine = await servers.enter_async_context(vllm(tmp_path, MODEL, *options, port=port))
            both = before + await _in_turn(url)
        page = await until(watch, lambda p: counted(p) == by_client(both, p), f"{both}")
        assert counted(page) == tuple(map(_sum, at_crash, await own(engine)))
        models = {dict(labels)["model"] for labels in page.series(watching.GENERATED)}
        assert models == {MODEL}
    assert not looked.falls


async def _in_turn(url: str) -> Usage:
    """The model and each adapter, some concurrently."""
    names = (MODEL, *ADAPTERS)
    return sum(await asyncio.gather(*(load(url, name, requests=8, concurrency=2) for name in names)), Usage())


async def _tokens_of_a_client_that_left(watch: Goodwatt, engine: Child, at_crash: tuple[float | None, ...]) -> None:
    """Tokens of a client disconnect count as the engine counts them; the request is not finished."""
    finished = (await own(engine))[3]
    await hang_up(engine.url, MODEL)
    await until(
        _Own(engine), lambda p: p.total("vllm:num_requests_running") == 0, "the engine noticed that the client left"
    )
    after = await own(engine)
    assert after[3] == finished
    await until(watch, lambda p: counted(p) == tuple(map(_sum, at_crash, after)), f"{after} after {at_crash}")


class _Own:
    """The engine's own page, to wait for."""

    def __init__(self, engine: Child) -> None:
        self._engine = engine

    async def page(self) -> Page:
        return await fetch(f"{self._engine.url}/metrics")


def _sum(one: float | None, other: float | None) -> float:
    assert one is not None
    assert other is not None
    return one + other


async def test_disabled_statistics_are_reported(tmp_path: Path) -> None:
    """With --disable-log-stats, vLLM is down with reason metrics_off, and the log names the flag."""
    async with (
        vllm(tmp_path, MODEL, "--disable-log-stats") as engine,
        goodwatt(watching.config("vllm", engine.url), tmp_path) as watch,
    ):
        page = await until(watch, lambda p: watching.failures(p, "vllm", "metrics_off") > 1, "metrics_off, twice")
        assert watching.is_down(page, "vllm")
        assert not page.series(watching.GENERATED)
        assert re.search(r"server/vllm.*--disable-log-stats", watch.output), watch.tail()
