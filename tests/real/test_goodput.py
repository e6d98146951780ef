"""goodwatt's bounds on goodput against what a client measured request by request on a real vLLM.

The client sees every latency a little later than the server does, by the way through HTTP: 7 ms on an idle machine,
more on a busy one. So requests that close to a threshold may be judged otherwise; their number is in every message.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real import watching
from tests.real.bench import EACH, Judged, Latencies, judge, quantile
from tests.real.engines import Child, Goodwatt, goodwatt, vllm
from tests.real.pages import Page, fetch, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

MODEL = "slow"
TRIAL, PROMPTS, PER_SECOND = 24, 60, 4.0
UNLIMITED = Latencies(1000.0, 1000.0, 1000.0)
LEAST_TOLERANCE = Latencies(ttft=0.015, tpot=0.002, e2e=0.015)
SOONER_SECONDS = 0.001  # of TTFT and e2e: the client's clock cannot be much ahead of the server's
HISTOGRAMS = "time_to_first_token_seconds", "request_time_per_output_token_seconds", "e2e_request_latency_seconds"


Limits = Mapping[str, Latencies]


@dataclass(frozen=True)
class Bounds:
    eligible: float
    lower: float
    upper: float


def bounds(page: Page, slo: str) -> Bounds:
    """What goodwatt says of an SLO; zeros before its first window has closed."""
    good = (page.total("goodwatt_slo_good_requests_total", slo=slo, bound=bound) for bound in ("lower", "upper"))
    eligible = page.total("goodwatt_slo_requests_total", slo=slo, method="histogram")
    return Bounds(eligible or 0.0, *(value or 0.0 for value in good))


def slo_entry(name: str, limit: Latencies) -> str:
    keys = f"ttft_seconds: {limit.ttft!r}, tpot_seconds: {limit.tpot!r}, e2e_seconds: {limit.e2e!r}"
    return f"  - {{name: {name}, {keys}, objective_ratio: 0.5}}\n"


def config(engine: Child, limits: Limits, *, window: float) -> str:
    slos = "".join(slo_entry(name, limit) for name, limit in limits.items())
    return watching.config("vllm", engine.url, interval=1.0, window=window, more=f"slos:\n{slos}")


async def around(engine: Child, inside: Latencies) -> Limits:
    """Three SLOs: the thresholds, and the edges of vLLM's own buckets just below and just above each of them."""
    page = await fetch(f"{engine.url}/metrics")
    pairs = [_edges_around(page, name, of(inside)) for name, of in zip(HISTOGRAMS, EACH, strict=True)]
    below, above = zip(*pairs, strict=True)
    return {"inside": inside, "below": Latencies(*below), "above": Latencies(*above)}


def _edges_around(page: Page, histogram: str, wanted: float) -> tuple[float, float]:
    edges = {float(dict(labels)["le"]) for labels in page.series(f"vllm:{histogram}_bucket")} - {math.inf}
    return max(edge for edge in edges if edge <= wanted), min(edge for edge in edges if edge >= wanted)


async def closed(watch: Goodwatt, within_seconds: float) -> Page:
    """The page once every request of the bench is in a closed window."""

    def all_in(page: Page) -> bool:
        return bounds(page, "inside").eligible >= PROMPTS

    return await until(watch, all_in, f"{PROMPTS} requests in closed windows", within_seconds)


@dataclass(frozen=True)
class Seen:
    """The engine's own histograms of the three latencies: sums, and counts by upper edge."""

    sums: Latencies
    counts: tuple[Mapping[float, float], ...]

    def minus(self, before: "Seen") -> "Seen":
        pairs = zip(self.counts, before.counts, strict=True)
        return Seen(
            self.sums.minus(before.sums), tuple({edge: n - b.get(edge, 0.0) for edge, n in a.items()} for a, b in pairs)
        )

    def marginals(self, limit: Latencies) -> list[int]:
        """How many requests met each threshold; the thresholds are edges."""
        return [round(counts[of(limit)]) for counts, of in zip(self.counts, EACH, strict=True)]


async def server_saw(engine: Child) -> Seen:
    """What the engine has counted since its start."""
    page = await fetch(f"{engine.url}/metrics")
    sums = Latencies(*(page.total(f"vllm:{name}_sum") or 0.0 for name in HISTOGRAMS))
    return Seen(sums, tuple(_counts(page, name) for name in HISTOGRAMS))


def _counts(page: Page, histogram: str) -> Mapping[float, float]:
    buckets = page.series(f"vllm:{histogram}_bucket")
    return {float(dict(labels)["le"]): value for labels, value in buckets.items()}


@dataclass(frozen=True)
class Comparison:
    """What the client measured, and how much later it may have seen one request's latency than the server did."""

    judged: Judged
    later: Latencies

    def limits(self, limit: Latencies) -> tuple[Latencies, Latencies]:
        """The strictest and the most lenient thresholds that the server may have seen in place of these."""
        sooner = Latencies(-SOONER_SECONDS, -self.later.tpot, -SOONER_SECONDS)
        return limit.plus(sooner), limit.plus(self.later)

    def good(self, limit: Latencies) -> tuple[int, int]:
        """At least and at most how many requests were good by the server's clock."""
        strict, lenient = self.limits(limit)
        return self.judged.good_within(strict), self.judged.good_within(lenient)


def compared(judged: Judged, seen: Latencies) -> Comparison:
    """With three times the mean difference to what the server saw of the same requests as tolerance."""
    count = len(judged.requests)
    means = [(sum(map(of, judged.requests)) - of(seen)) / count for of in EACH]
    least = [of(LEAST_TOLERANCE) for of in EACH]
    return Comparison(judged, Latencies(*(max(low, 3 * abs(mean)) for low, mean in zip(least, means, strict=True))))


def frechet(marginals: list[int], total: int) -> tuple[int, int]:
    """Between how many and how many requests met every threshold, when so many met each."""
    return max(0, sum(marginals) - (len(marginals) - 1) * total), min(marginals)


def holds_what_was_measured(found: Bounds, client: Comparison, limit: Latencies, said: str) -> None:
    """The client's count of good requests lies between the bounds, give or take requests at a threshold."""
    fewest, most = client.good(limit)
    assert found.eligible == len(client.judged.requests), said
    assert found.lower <= most, said
    assert found.upper >= fewest, said


def as_sharp_as_marginals_allow(found: Bounds, marginals: list[int], said: str) -> None:
    """Both bounds are exactly those that the engine's own counts for each threshold give."""
    assert (found.lower, found.upper) == frechet(marginals, PROMPTS), f"{said}; the engine counts {marginals}"


async def test_bounds_hold_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The good requests that `vllm bench serve --goodput` counts lie between goodwatt's bounds, whatever the window.

    The thresholds cut the distribution. On bucket edges, and with all requests in one window, the bounds are exactly
    those of the engine's own counts for each threshold; thresholds inside buckets have those of the edges around them.
    """
    async with vllm(tmp_path, MODEL) as engine:
        trial = await judge(engine, MODEL, tmp_path, prompts=TRIAL, per_second=PER_SECOND, slo=UNLIMITED, seed=1)
        inside = quantile(trial.requests, 0.6)
        limits = await around(engine, inside)
        whole = math.ceil(2 * (trial.seconds + (PROMPTS - TRIAL) / PER_SECOND))
        async with (
            goodwatt(config(engine, limits, window=5.0), tmp_path) as narrow,
            goodwatt(config(engine, limits, window=whole), tmp_path) as wide,
        ):
            for watch in (narrow, wide):
                await until(watch, lambda p: watching.is_up(p, "vllm"), "up")
            before = await server_saw(engine)
            judged = await judge(engine, MODEL, tmp_path, prompts=PROMPTS, per_second=PER_SECOND, slo=inside, seed=2)
            seen = (await server_saw(engine)).minus(before)
            client = compared(judged, seen.sums)
            pages = {"5 s windows": await closed(narrow, 15.0), f"one {whole} s window": await closed(wide, whole + 5)}
    assert judged.good == judged.good_within(inside), "the bench counts as this test does"
    assert 0 < judged.good < PROMPTS, f"{inside} does not cut the distribution"
    found = {(name, slo): bounds(page, slo) for name, page in pages.items() for slo in limits}
    said = {key: _said(key[0], key[1], limits[key[1]], found[key], client) for key in found}
    with capsys.disabled():
        print(f"\ntolerance: {client.later}", *said.values(), sep="\n")
    for (name, slo), bound in found.items():
        holds_what_was_measured(bound, client, limits[slo], said[name, slo])
        assert (found[name, "inside"].lower, found[name, "inside"].upper) == (
            found[name, "below"].lower,
            found[name, "above"].upper,
        )
    for slo in ("below", "above"):
        key = f"one {whole} s window", slo
        as_sharp_as_marginals_allow(found[key], seen.marginals(limits[slo]), said[key])


def _said(window: str, slo: str, limit: Latencies, found: Bounds, client: Comparison) -> str:
    fewest, most = client.good(limit)
    return (
        f"{window}, slo {slo} ({limit}): the client counts {client.judged.good_within(limit)} good "
        f"({fewest} to {most} within tolerance), goodwatt {found.lower:g} to {found.upper:g} of {found.eligible:g}"
    )
