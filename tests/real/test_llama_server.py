"""goodwatt with a real llama-server and real weights."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import nvml_stub
from tests.real import engines, watching
from tests.real.engines import LLAMA_MODEL, Child, Goodwatt, free_port, goodwatt, llama_server
from tests.real.pages import Page, fetch, until
from tests.real.traffic import load

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

STUB_WATTS = 400.0


async def own_tokens(engine: Child) -> tuple[float | None, ...]:
    """Prompt (including cached), cached prompt and generated tokens from the engine's own page."""
    page = await fetch(f"{engine.url}/metrics")
    computed, cached = page.total("llamacpp:prompt_tokens_total"), page.total("llamacpp:prompt_tokens_cached_total")
    return (computed or 0) + (cached or 0), cached, page.total("llamacpp:tokens_predicted_total")


async def test_tokens_are_the_engines_own_across_a_crash(tmp_path: Path) -> None:
    """Every token that llama-server and its clients counted is counted once, although the server is killed.

    While it is down goodwatt reports it and drops its series after three ticks, and no counter ever decreases.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        goodwatt(watching.config("llama", url, interval=1.0), tmp_path) as watch,
        watching.counters(watch) as looked,
    ):
        await until(watch, lambda p: watching.failures(p, "llama", "unreachable") > 0, "said to be unreachable")
        async with llama_server(tmp_path, "--metrics", port=port) as engine:
            page = await until(watch, lambda p: watching.counted(p, "llama") == (0, 0, 0), "the first page is zero")
            assert page.series("goodwatt_server_info", server="llama", engine="llamacpp")
            assert page.total(watching.GENERATED, model=LLAMA_MODEL) == 0
            before = await load(url, LLAMA_MODEL, requests=12)
            await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(before), f"{before}")
            assert await own_tokens(engine) == watching.tokens(before)
            engine.kill()
            page = await until(watch, lambda p: watching.is_down(p, "llama"), "down")
            assert watching.counted(page, "llama") == watching.tokens(before), "dropped at the first missed tick"
            await until(watch, lambda p: not p.series(watching.GENERATED), "dropped after three ticks")
        async with llama_server(tmp_path, "--metrics", port=port) as engine:
            await until(watch, lambda p: watching.is_up(p, "llama"), "up again")
            await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(before), "back as it was")
            after = await load(url, LLAMA_MODEL, requests=12)
            both = before + after
            page = await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(both), f"{both}")
            assert await own_tokens(engine) == watching.tokens(after)
        assert page.total(watching.REQUESTS, server="llama") is None, "llama-server does not count requests"
        assert both.cached > 0, "no prompt was cached: the test shows nothing of cached tokens"
    assert not looked.falls
    assert looked.looks > 20


async def test_a_restart_between_two_reads_loses_nothing(tmp_path: Path) -> None:
    """A restart that goodwatt never saw is detected by the counters, and later growth is counted."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as servers, goodwatt(watching.config("llama", url), tmp_path) as watch:
        engine = await servers.enter_async_context(llama_server(tmp_path, "--metrics", port=port))
        await until(watch, lambda p: watching.counted(p, "llama") == (0, 0, 0), "the first page is zero")
        before = await load(url, LLAMA_MODEL, requests=12)
        await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(before), f"{before}")
        missed = watching.failures(await watch.page(), "llama", "unreachable")
        with watch.asleep():
            engine.kill()
            engine = await servers.enter_async_context(llama_server(tmp_path, "--metrics", port=port))
            few = await load(url, LLAMA_MODEL, requests=3)
        both = before + few
        page = await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(both), f"{both}")
        assert await own_tokens(engine) == watching.tokens(few)
        assert watching.failures(page, "llama", "unreachable") == missed, "the restart was seen"


async def test_metrics_off_is_reported(tmp_path: Path) -> None:
    """Without --metrics, llama-server is down with reason metrics_off, and the log names the flag."""
    # A slow tick: a read of more than 0.8 of an interval would be logged as another reason.
    async with (
        llama_server(tmp_path) as engine,
        goodwatt(watching.config("llama", engine.url, interval=2.0), tmp_path) as watch,
    ):
        page = await until(watch, lambda p: watching.failures(p, "llama", "metrics_off") > 1, "metrics_off, twice")
        assert watching.is_down(page, "llama")
        assert not page.series(watching.GENERATED)
        said = [line for line in watch.output.splitlines() if "server/llama" in line]
        assert len(said) == 1, f"one line for one transition: {said}"
        assert "--metrics" in said[0]


def _joules(page: Page) -> tuple[float, float, float]:
    """Joules of the GPU, attributed to the server, and unattributed."""
    names = "gpu_energy_joules_total", "energy_joules_total", "gpu_unattributed_energy_joules_total"
    gpu, server, rest = (page.total(f"goodwatt_{name}") or 0.0 for name in names)
    return gpu, server, rest


@dataclass(frozen=True)
class Reading:
    """A page with more joules than the one before, and when it was published."""

    page: Page
    not_before: float
    not_after: float


async def _next_reading(watch: Goodwatt) -> Reading:
    clock = asyncio.get_running_loop().time
    not_before = clock()
    old = _joules(await watch.page())[0]
    while True:
        asked = clock()
        page = await watch.page()
        if _joules(page)[0] > old:
            return Reading(page, not_before, clock())
        not_before = asked
        await asyncio.sleep(0.05)


async def test_tokens_per_watt_of_a_real_engine(tmp_path: Path) -> None:
    """Tokens per watt are the client's tokens over the GPU's joules, and every joule is attributed or unattributed.

    The tokens and their timing are real; the GPU is a stub driver of constant power, read through the real binding.
    """
    stub = nvml_stub.stub_of(tmp_path)
    stub.gpus[0].low_mw = round(STUB_WATTS * 1000)
    stub.write()
    environment = stub.environ(nvml_stub.build(tmp_path), {})
    money = "gpus: {kind: nvml}\ncost: {currency: USD, price_per_kwh: 0.10}\n"
    async with llama_server(tmp_path, "--metrics") as engine:
        # A slow tick and a long window, so that the live figure covers everything counted.
        text = watching.config("llama", engine.url, interval=2.0, window=600.0, more=money)
        async with goodwatt(text, tmp_path, environment) as watch:
            await until(watch, lambda p: _joules(p)[0] > 0 and watching.is_up(p, "llama"), "energy counted")
            start = await _next_reading(watch)
            used = await load(engine.url, LLAMA_MODEL, requests=12)
            await until(watch, lambda p: watching.counted(p, "llama") == watching.tokens(used), f"{used}")
            end = await _next_reading(watch)
    page, (gpu, server, rest) = end.page, _joules(end.page)
    assert server + rest == pytest.approx(gpu, abs=1e-6)
    counted_seconds = (gpu - _joules(start.page)[0]) / STUB_WATTS
    fewest, most = end.not_before - start.not_after, end.not_after - start.not_before
    assert fewest - 1.0 <= counted_seconds <= most + 1.0, "from the driver's answer to the page"
    assert page.total("goodwatt_tokens_per_watt", kind="generated") == pytest.approx(used.generated / server, rel=1e-3)
    assert page.total("goodwatt_cost_total", component="electricity") == pytest.approx(server / 3.6e6 * 0.10, rel=1e-6)


async def test_missing_engines_fail_with_the_command_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the engines the suite fails with one line that says how to install them."""
    monkeypatch.setattr(engines, "CACHE", tmp_path)
    with pytest.raises(pytest.fail.Exception, match=r"llama is not installed in .*: run tests/real/install-"):
        async with llama_server(tmp_path):
            pass
