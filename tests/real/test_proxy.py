"""A real llama-server behind goodwatt's proxy: exact goodput against what each client measured of its own request.

llama-server has no histogram at all, so nothing but the proxy can tell its goodput. A client sees every moment a little
later than the proxy does, by the way between them: well below a millisecond on an idle machine. Requests within
2 milliseconds of a threshold may therefore be judged otherwise; they are counted, and named in the message.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.real import watching
from tests.real.engines import LLAMA_MODEL, Goodwatt, free_port, goodwatt, llama_server
from tests.real.pages import Page, fetch, until
from tests.real.streams import Measured, load

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

LOADS = ((1, 6), (3, 12), (8, 18))  # streams at once, requests; the server has 4 slots
TRIAL = 5
SHED = "goodwatt_requests_shed_total"
NEAR_SECONDS = 0.002
WAY_TIMES = 3.0  # of the mean way between proxy and client, where a busy machine makes that longer


@dataclass(frozen=True)
class Limit:
    """An SLO whose thresholds lie inside what one of the loads shows."""

    name: str
    ttft: float
    tpot: float

    def is_good(self, one: Measured, by: float = 0.0) -> bool:
        return one.ttft <= self.ttft + by and (one.tpot is None or one.tpot <= self.tpot + by / 10)

    def is_near(self, one: Measured, near: float) -> bool:
        """A time per token is a mean over several: it moves by a tenth of what one moment moves."""
        return self.is_good(one, near) != self.is_good(one, -near)


def limits_of(trials: Iterable[Sequence[Measured]]) -> list[Limit]:
    return [
        Limit(
            f"load-{number}",
            round(statistics.median(one.ttft for one in trial), 6),
            round(statistics.median(one.tpot for one in trial if one.tpot is not None) * 1.2, 6),
        )
        for number, trial in enumerate(trials)
    ]


def config(port: int, upstream: str, limits: Sequence[Limit], *, metrics: bool) -> str:
    page = f"url: '{upstream}', " if metrics else ""
    slos = "".join(
        f"  - {{name: {one.name}, ttft_seconds: {one.ttft!r}, tpot_seconds: {one.tpot!r}}}\n" for one in limits
    )
    return (
        "interval_seconds: 0.5\nwindow_seconds: 5\ngpus: {kind: none}\n"
        f"servers:\n  - {{name: llama, {page}proxy: {{listen: '127.0.0.1:{port}', upstream: '{upstream}'}}}}\n"
        f"slos:\n{slos}"
    )


def exact(page: Page, name: str, slo: str) -> float:
    return page.total(f"goodwatt_slo_{name}_total", server="llama", slo=slo, method="exact") or 0.0


async def counted(watch: Goodwatt, requests: int) -> Page:
    def all_there(page: Page) -> bool:
        return (page.total("goodwatt_request_records_total", server="llama") or 0) >= requests

    return await until(watch, all_there, f"{requests} records")


def agrees(page: Page, limit: Limit, seen: Sequence[Measured], way: float) -> str:
    """Exact counters are the client's own counts but for requests at a threshold; answers with a line about it."""
    near_seconds = max(NEAR_SECONDS, WAY_TIMES * way)
    near = [one for one in seen if limit.is_near(one, near_seconds)]
    good = [one for one in seen if limit.is_good(one)]
    found = exact(page, "good_requests", limit.name)
    line = (
        f"{limit.name}: ttft {1e3 * limit.ttft:.0f} ms, tpot {1e3 * limit.tpot:.1f} ms: exact {found:g} and client "
        f"{len(good)} of {len(seen)}; way {1e3 * way:.2f} ms; {len(near)} at a threshold: {near}"
    )
    assert exact(page, "requests", limit.name) == len(seen), line
    assert abs(found - len(good)) <= len(near), line
    tokens = sum(one.generated for one in good)
    assert abs(exact(page, "good_tokens", limit.name) - tokens) <= sum(one.generated for one in near), line
    assert exact(page, "tokens", limit.name) == sum(one.generated for one in seen), line
    return line


@pytest.mark.parametrize("metrics", [True, False], ids=["beside-its-page", "without-a-page"])
async def test_exact_goodput_is_what_the_clients_measured(tmp_path: Path, metrics: bool) -> None:
    """At three loads, for thresholds inside each of them; and every token is counted once, as the engine counts it."""
    port = free_port()
    through = f"http://127.0.0.1:{port}"
    async with llama_server(tmp_path, *(["--metrics"] if metrics else [])) as engine:
        trials = [await load(engine.url, LLAMA_MODEL, range(TRIAL), streams) for streams, _ in LOADS]
        limits = limits_of(trials)
        async with goodwatt(config(port, engine.url, limits, metrics=metrics), tmp_path) as watch:
            await until(watch, lambda p: watching.is_up(p, "llama"), "up")
            before = await fetch(f"{engine.url}/metrics") if metrics else None
            seen: list[Measured] = []
            for streams, requests in LOADS:
                seen += await load(through, LLAMA_MODEL, range(len(seen), len(seen) + requests), streams)
            page = await counted(watch, len(seen))
            await _tokens_are_the_engines(watch, engine.url, before, seen)
    first = page.total("goodwatt_exact_time_to_first_token_seconds_sum", server="llama")
    assert first is not None
    way = (sum(one.ttft for one in seen) - first) / len(seen)
    assert way > 0, "the client cannot see a token before the proxy does"
    for limit in limits:
        print(agrees(page, limit, seen, way))
    assert any(0 < sum(map(limit.is_good, seen)) < len(seen) for limit in limits), "no threshold lies inside"


async def _tokens_are_the_engines(watch: Goodwatt, url: str, before: Page | None, seen: Sequence[Measured]) -> None:
    prompt, cached, generated = (sum(getattr(one, key) for one in seen) for key in ("prompt", "cached", "generated"))
    await until(watch, lambda p: watching.counted(p, "llama") == (prompt, cached, generated), f"{generated} tokens")
    if before is not None:
        after = await fetch(f"{url}/metrics")
        metric = "llamacpp:tokens_predicted_total"
        assert (after.total(metric) or 0) - (before.total(metric) or 0) == generated


async def test_every_way_to_ask_is_counted(tmp_path: Path) -> None:
    """Streams without usage, answers in one piece, text completions and llama.cpp's own: tokens are the engine's."""
    port = free_port()
    asked = (
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Name a river."}], "stream": True}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Name a river."}]}),
        ("/v1/completions", {"prompt": "The sea", "stream": True}),
        ("/v1/completions", {"prompt": "The sea"}),
        ("/completion", {"prompt": "The sea", "stream": True}),
        ("/completion", {"prompt": "The sea"}),
        ("/v1/responses", {"input": "Name a river.", "stream": True}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "Name a river."}], "stream": True}),
    )
    streams = sum("stream" in body for _, body in asked)
    async with llama_server(tmp_path, "--metrics") as engine:
        text = config(port, engine.url, [Limit("s", 60.0, 60.0)], metrics=False)
        async with goodwatt(text, tmp_path) as watch, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for path, body in asked:
                async with session.post(
                    path, json={"model": LLAMA_MODEL, "max_tokens": 9, "n_predict": 9, **body}
                ) as got:
                    got.raise_for_status()
                    await got.read()
            async with session.get("/v1/models") as got:
                assert (await got.json())["data"]
            async with session.post("/v1/chat/completions", json={"messages": "wrong"}) as got:
                assert got.status == 400
            page = await until(watch, lambda p: bool(p.total(SHED, reason="refused")), "the refused one")
            own = await fetch(f"{engine.url}/metrics")
    predicted = own.total("llamacpp:tokens_predicted_total")
    computed, cached = (own.total(f"llamacpp:prompt_tokens{part}_total") for part in ("", "_cached"))
    assert watching.counted(page, "llama") == ((computed or 0) + (cached or 0), cached, predicted)
    assert page.total("goodwatt_request_records_total") == len(asked)
    assert page.total("goodwatt_request_records_total", outcome="success", tokens="reported") == len(asked)
    assert exact(page, "requests", "s") == streams, "answers in one piece have no time to first token"
    assert page.total(SHED, reason="refused") == 1
