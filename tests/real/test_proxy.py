"""A real llama-server behind goodwatt's proxy: exact goodput against what each client measured of its own request.

llama-server has no histogram at all, so nothing but the proxy can tell its goodput. A client sees every moment a little
later than the proxy does, by the way between them: well below a millisecond on an idle machine, much more now and then
on a busy one. So it may judge a request at a threshold otherwise. Those within 2 milliseconds of one, or three times
the mean way where that is more, are named; and nobody sees a moment early, so how much later all requests were together
bounds how many can be judged otherwise at all.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import aiohttp
import pytest

from tests.real import watching
from tests.real.engines import LLAMA_MODEL, Child, Goodwatt, free_port, goodwatt, llama_server
from tests.real.pages import Page, fetch, until
from tests.real.streams import Measured, load

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

LOADS = ((1, 6), (3, 12), (8, 18))  # streams at once, requests; the server has 4 slots
TRIAL = 5
DROPPED = "goodwatt_request_records_dropped_total"
NEAR_SECONDS = 0.002
WAY_TIMES = 3.0  # of the mean way between proxy and client, where a busy machine makes that longer
TRIES = 6


@dataclass(frozen=True)
class Limit:
    """An SLO whose thresholds lie inside what one of the loads shows."""

    name: str
    ttft: float
    tpot: float

    def is_good(self, one: Measured, by: float = 0.0) -> bool:
        return one.ttft <= self.ttft + by and (one.tpot is None or one.tpot <= self.tpot + by / 10)

    def is_near(self, one: Measured, near: float) -> bool:
        """A time per token is a mean over several: it moves by about a tenth of what one moment moves."""
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


async def counted(watch: Goodwatt, requests: int) -> Page:
    def all_there(page: Page) -> bool:
        return (page.total("goodwatt_request_records_total", server="llama") or 0) >= requests

    return await until(watch, all_there, f"{requests} records")


@dataclass(frozen=True)
class Way:
    """How much later the clients saw first tokens than the proxy, all requests together, and how much greater times per
    token, at most; in seconds.

    A first token that was seen late makes a time per token seem shorter, one at the end makes it seem longer. So what
    times per token grew by, those that grew, is at most their sum's growth and what late first tokens took from others.
    """

    first: float
    per_token: float

    @classmethod
    def between(cls, page: Page, seen: Sequence[Measured]) -> "Way":
        names = ("to_first_token", "per_output_token")
        sums = (page.total(f"goodwatt_exact_time_{of}_seconds_sum", server="llama") for of in names)
        first, per_token = (math.nan if value is None else value for value in sums)
        late = sum(one.ttft for one in seen) - first
        grown = sum(one.tpot or 0.0 for one in seen) - per_token
        return cls(late, grown + late / (min(one.generated for one in seen if one.tpot is not None) - 1))

    def judged_otherwise(self, limit: Limit, seen: Sequence[Measured]) -> tuple[int, int]:
        """At most how many requests were bad for the proxy and good for the client, and the other way round."""
        slow = {one: one.tpot - limit.tpot for one in seen if one.tpot is not None}
        quick = [-by * (one.generated - 1) for one, by in slow.items() if limit.is_good(one)]
        waited = [one.ttft - limit.ttft for one in seen if slow.get(one, 0) <= 0 and one.ttft > limit.ttft]
        too_slow = affordable((by for by in slow.values() if by > 0), self.per_token)
        return affordable(quick, self.first), too_slow + affordable(waited, self.first)


def affordable(costs: Iterable[float], budget: float) -> int:
    """How many of these fit together into the budget, at most."""
    return sum(total <= budget for total in accumulate(sorted(costs)))


@dataclass(frozen=True)
class Run:
    """What the clients measured at the three loads, and what goodwatt then counted."""

    limits: Sequence[Limit]
    seen: Sequence[Measured]
    page: Page

    @property
    def is_inside(self) -> bool:
        """Whether any threshold lies inside what the clients measured."""
        return any(0 < len(self.good(limit)) < len(self.seen) for limit in self.limits)

    @cached_property
    def way(self) -> Way:
        return Way.between(self.page, self.seen)

    @property
    def mean_way(self) -> float:
        """How much later the clients saw first tokens, in the mean, in seconds."""
        return self.way.first / len(self.seen)

    def good(self, limit: Limit) -> list[Measured]:
        return [one for one in self.seen if limit.is_good(one)]

    def near(self, limit: Limit) -> list[Measured]:
        """The requests at a threshold."""
        near_seconds = max(NEAR_SECONDS, WAY_TIMES * self.mean_way)
        return [one for one in self.seen if limit.is_near(one, near_seconds)]

    def exact(self, name: str, limit: Limit) -> float:
        return self.page.total(f"goodwatt_slo_{name}_total", server="llama", slo=limit.name, method="exact") or 0.0

    def is_close(self, limit: Limit) -> bool:
        """Whether exact counters are the client's own counts but for requests at a threshold."""
        good, near = self.good(limit), self.near(limit)
        off = self.exact("good_tokens", limit) - tokens_of(good)
        return abs(self.exact("good_requests", limit) - len(good)) <= len(near) and abs(off) <= tokens_of(near)

    def said(self, limit: Limit) -> str:
        near, (fewer, more) = self.near(limit), self.way.judged_otherwise(limit, self.seen)
        return (
            f"{limit.name}: ttft {1e3 * limit.ttft:.0f} ms, tpot {1e3 * limit.tpot:.1f} ms: "
            f"exact {self.exact('good_requests', limit):g} and client {len(self.good(limit))} of {len(self.seen)}, "
            f"{-fewer} to {more:+} by a way of {1e3 * self.mean_way:.2f} ms in the mean; "
            f"{len(near)} at a threshold: {near}"
        )

    def agrees(self, limit: Limit) -> None:
        """Exact counters are the client's own counts but for as many requests as the way can move."""
        said, good = self.said(limit), self.good(limit)
        fewer, more = self.way.judged_otherwise(limit, self.seen)
        assert self.way.first > 0, f"the client cannot see a token before the proxy does: {said}"
        assert self.way.per_token >= 0, said
        assert self.exact("requests", limit) == len(self.seen), said
        assert len(good) - fewer <= self.exact("good_requests", limit) <= len(good) + more, said
        tokens, most = tokens_of(good), max(one.generated for one in self.seen)
        assert tokens - fewer * most <= self.exact("good_tokens", limit) <= tokens + more * most, said
        assert self.exact("tokens", limit) == tokens_of(self.seen), said


def tokens_of(requests: Iterable[Measured]) -> int:
    return sum(one.generated for one in requests)


@pytest.mark.parametrize("metrics", [True, False], ids=["beside-its-page", "without-a-page"])
async def test_exact_goodput_is_what_the_clients_measured(tmp_path: Path, metrics: bool) -> None:
    """At three loads, for thresholds inside each of them; and every token is counted once, as the engine counts it.

    A run is repeated in which no threshold lies inside, since the machine's speed changed after the trial, or more is
    judged otherwise than what is near a threshold, since a client was held up."""
    async with llama_server(tmp_path, *(["--metrics"] if metrics else [])) as engine:
        for _ in range(TRIES):
            run = await _run(engine, tmp_path, metrics=metrics)
            print(*map(run.said, run.limits), sep="\n")
            for limit in run.limits:
                run.agrees(limit)
            if run.is_inside and all(map(run.is_close, run.limits)):
                break
    assert run.is_inside, "no threshold lies inside"
    for limit in run.limits:
        assert run.is_close(limit), f"more is judged otherwise than what is at a threshold: {run.said(limit)}"


async def _run(engine: Child, folder: Path, *, metrics: bool) -> Run:
    trials = [await load(engine.url, LLAMA_MODEL, range(TRIAL), streams) for streams, _ in LOADS]
    limits, port = limits_of(trials), free_port()
    through = f"http://127.0.0.1:{port}"
    async with goodwatt(config(port, engine.url, limits, metrics=metrics), folder) as watch:
        await until(watch, lambda p: watching.is_up(p, "llama"), "up")
        before = await fetch(f"{engine.url}/metrics") if metrics else None
        seen: list[Measured] = []
        for streams, requests in LOADS:
            seen += await load(through, LLAMA_MODEL, range(len(seen), len(seen) + requests), streams)
        page = await counted(watch, len(seen))
        await _tokens_are_the_engines(watch, engine.url, before, seen)
    return Run(limits, seen, page)


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
            page = await until(watch, lambda p: bool(p.total(DROPPED, reason="refused")), "the refused one")
            own = await fetch(f"{engine.url}/metrics")
    predicted = own.total("llamacpp:tokens_predicted_total")
    computed, cached = (own.total(f"llamacpp:prompt_tokens{part}_total") for part in ("", "_cached"))
    assert watching.counted(page, "llama") == ((computed or 0) + (cached or 0), cached, predicted)
    assert page.total("goodwatt_request_records_total") == len(asked)
    assert page.total("goodwatt_request_records_total", outcome="success", tokens="reported") == len(asked)
    judged = page.total("goodwatt_slo_requests_total", slo="s", method="exact")
    assert judged == streams, "answers in one piece have no time to first token"
    assert page.total(DROPPED, reason="refused") == 1
