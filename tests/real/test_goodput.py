"""goodwatt's bounds on goodput against what a client measured request by request on a real vLLM.

The client sees every latency a little later than the server does, by the way through HTTP. What it calls good is
therefore compared with these tolerances, and the counts within them are in every message.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real import watching
from tests.real.bench import EACH, Judged, Latencies, judge
from tests.real.engines import Child, Goodwatt, goodwatt, vllm
from tests.real.pages import Page, fetch, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

MODEL = "slow"
PROMPTS, PER_SECOND = 60, 4.0
LATER = Latencies(ttft=0.015, tpot=0.002, e2e=0.015)
SOONER = Latencies(ttft=-0.001, tpot=-0.002, e2e=-0.001)
HISTOGRAMS = "time_to_first_token_seconds", "request_time_per_output_token_seconds", "e2e_request_latency_seconds"


@dataclass(frozen=True)
class Bounds:
    eligible: float
    lower: float
    upper: float


def bounds(page: Page, slo: str) -> Bounds | None:
    """What goodwatt says of an SLO; None before its first window has closed."""
    eligible = page.total("goodwatt_slo_requests_total", slo=slo)
    good = (page.total("goodwatt_slo_good_requests_total", slo=slo, bound=bound) for bound in ("lower", "upper"))
    lower, upper = good
    return None if eligible is None or lower is None or upper is None else Bounds(eligible, lower, upper)


def slo_entry(name: str, limit: Latencies) -> str:
    keys = f"ttft_seconds: {limit.ttft!r}, tpot_seconds: {limit.tpot!r}, e2e_seconds: {limit.e2e!r}"
    return f"  - {{name: {name}, {keys}, objective_ratio: 0.5}}\n"


def config(engine: Child, inside: Latencies, edges: Latencies, *, window: float) -> str:
    slos = f"slos:\n{slo_entry('inside', inside)}{slo_entry('edges', edges)}"
    return watching.config("vllm", engine.url, interval=1.0, window=window, more=slos)


async def nearest_edges(engine: Child, limit: Latencies) -> Latencies:
    """The bucket edges of vLLM's own histograms that lie nearest to the thresholds."""
    page = await fetch(f"{engine.url}/metrics")
    return Latencies(*(_nearest(page, name, of(limit)) for name, of in zip(HISTOGRAMS, EACH, strict=True)))


def _nearest(page: Page, histogram: str, wanted: float) -> float:
    edges = {float(dict(labels)["le"]) for labels in page.series(f"vllm:{histogram}_bucket")}
    return min(edges - {math.inf}, key=lambda edge: abs(math.log(edge / wanted)))


async def closed(watch: Goodwatt, within_seconds: float) -> Page:
    """The page once every request of the bench is in a closed window."""

    def all_in(page: Page) -> bool:
        found = bounds(page, "inside")
        return found is not None and found.eligible >= PROMPTS

    return await until(watch, all_in, f"{PROMPTS} requests in closed windows", within_seconds)


def frechet(marginals: list[int], total: int) -> tuple[int, int]:
    """Between how many and how many requests met every threshold, when so many met each."""
    return max(0, sum(marginals) - (len(marginals) - 1) * total), min(marginals)


def judged_within(found: Bounds, judged: Judged, limit: Latencies, said: str) -> None:
    """The client's count of good requests lies between the bounds, give or take requests at a threshold."""
    fewest, most = judged.good_within(limit.plus(SOONER)), judged.good_within(limit.plus(LATER))
    assert found.eligible == len(judged.requests), said
    assert found.lower <= most, said
    assert found.upper >= fewest, said


def as_sharp_as_marginals_allow(found: Bounds, judged: Judged, limit: Latencies, said: str) -> None:
    """Both bounds are those that the client's own marginal counts give, give or take requests at a threshold."""
    total = len(judged.requests)
    low, high = (frechet(judged.marginals(limit.plus(shift)), total) for shift in (SOONER, LATER))
    said = f"{said}; marginals allow lower {low[0]} to {high[0]}, upper {low[1]} to {high[1]}"
    assert low[0] <= found.lower <= high[0], said
    assert low[1] <= found.upper <= high[1], said


async def test_bounds_hold_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The good requests that `vllm bench serve --goodput` counts lie between goodwatt's bounds, on thresholds that cut
    the distribution; in one window and on bucket edges the bounds are as sharp as marginal counts can be.
    """
    async with vllm(tmp_path, MODEL) as engine:
        unlimited = Latencies(1000.0, 1000.0, 1000.0)
        trial = await judge(engine, MODEL, tmp_path, prompts=24, per_second=PER_SECOND, slo=unlimited, seed=1)
        inside = trial.quantile(0.6)
        edges = await nearest_edges(engine, inside)
        whole = math.ceil(1.5 * (trial.seconds + (PROMPTS - 24) / PER_SECOND))
        async with (
            goodwatt(config(engine, inside, edges, window=5.0), tmp_path) as narrow,
            goodwatt(config(engine, inside, edges, window=whole), tmp_path) as wide,
        ):
            for watch in (narrow, wide):
                await until(watch, lambda p: watching.is_up(p, "vllm"), "up")
            judged = await judge(engine, MODEL, tmp_path, prompts=PROMPTS, per_second=PER_SECOND, slo=inside, seed=2)
            pages = {"5 s windows": await closed(narrow, 15.0), f"one {whole} s window": await closed(wide, whole)}
    assert judged.good == judged.good_within(inside), "the bench counts as this test does"
    assert 0 < judged.good < PROMPTS, f"{inside} does not cut the distribution"
    with capsys.disabled():
        for name, page in pages.items():
            for slo, limit in ("inside", inside), ("edges", edges):
                print(f"\n{_said(name, slo, limit, page, judged)}", end="")
    for name, page in pages.items():
        for slo, limit in ("inside", inside), ("edges", edges):
            found = bounds(page, slo)
            assert found is not None
            judged_within(found, judged, limit, _said(name, slo, limit, page, judged))
    found = bounds(pages[f"one {whole} s window"], "edges")
    assert found is not None
    as_sharp_as_marginals_allow(found, judged, edges, f"one window, edges {edges}: {found}")


def _said(name: str, slo: str, limit: Latencies, page: Page, judged: Judged) -> str:
    near = judged.good_within(limit.plus(SOONER)), judged.good_within(limit.plus(LATER))
    return (
        f"{name}, slo {slo} ({limit}): client counts {judged.good_within(limit)} good of {len(judged.requests)} "
        f"({near[0]} to {near[1]} within tolerance), goodwatt says {bounds(page, slo)}"
    )
