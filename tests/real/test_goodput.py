"""goodwatt's goodput bounds against per-request measurements of a client and of a real vLLM itself.

The client sees every latency a little later than the server, by the HTTP path: 7 ms on an idle machine, hundreds at
times on a busy one. So it may classify a request near a threshold differently; those are listed with both values. The
server's own latencies, from its spans, leave no such margin.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real import watching
from tests.real.bench import Judged, judge, quantile
from tests.real.engines import Child, Goodwatt, goodwatt, vllm
from tests.real.goodput import (
    MODEL,
    TRIES,
    UNLIMITED,
    Compared,
    Limits,
    Seen,
    around,
    bounds,
    in_progress,
    server_saw,
    slos,
)
from tests.real.pages import Page, until
from tests.real.spans import SENDING, SpanLatencies, collected

pytestmark = [pytest.mark.real, pytest.mark.timeout(2700)]

TRIAL, PROMPTS = 24, 60
LOADS = 2.0, 4.0, 6.0  # requests per second: rarely two at once, a few, and never none
MET_RATIO = 0.9  # of the requests meet each threshold, as with any objective worth having
MOSTLY = 0.75
WIDEST_RATIO = 0.05  # of the requests, between the bounds of thresholds on the bucket edges above


def config(engine: Child, limits: Limits) -> str:
    return watching.config("vllm", engine.url, interval=1.0, window=5.0, reads="0.2", more=slos(limits))


async def counted(watch: Goodwatt) -> Page:
    """The page once every request of the bench is counted."""

    def all_in(page: Page) -> bool:
        return bounds(page, "inside").eligible >= PROMPTS

    return await until(watch, all_in, f"{PROMPTS} requests", 15.0)


def frechet(marginals: list[int], total: int) -> tuple[int, int]:
    """The bounds on how many requests met every threshold, given how many met each."""
    return max(0, sum(marginals) - (len(marginals) - 1) * total), min(marginals)


@dataclass(frozen=True)
class Observed:
    """One bench and the page of goodwatt after it."""

    limits: Limits
    compared: Compared
    engine: Seen
    page: Page
    claimed: float  # requests that the idle engine still reported in progress when goodwatt's first page was read

    @property
    def is_cut(self) -> bool:
        return 0 < self.compared.client.good < PROMPTS

    @property
    def is_met(self) -> bool:
        """Whether most requests met the thresholds above; on a machine that slowed down since the trial they do not."""
        return self.compared.good(self.limits["above"]) >= MOSTLY * PROMPTS

    def said(self, slo: str) -> str:
        """Every count, and the requests that client and server classify differently."""
        limit, found = self.limits[slo], bounds(self.page, slo)
        line = (
            f"slo {slo} ({limit}): the client counts {self.compared.client.good_within(limit)} good, the "
            f"server {self.compared.good(limit)}, goodwatt {found.lower:g} to {found.upper:g} of {found.eligible:g}; "
            f"{self.claimed:g} were reported in progress before; "
            f"the engine's histograms {self.engine.marginals(limit) if slo != 'inside' else 'have no edge there'}"
        )
        return "\n".join([line, *self.compared.at_a_threshold(limit)])


def narrower(one: Observed, slo: str) -> float:
    """How far apart the bounds of the better method are. Both are the page's alone; no span reaches goodwatt."""
    found = [bounds(one.page, slo, method) for method in ("histogram", "tick")]
    assert [each.eligible for each in found] == [PROMPTS, PROMPTS], one.said(slo)
    return min(each.upper - each.lower for each in found)


@dataclass
class Benches:
    """One engine, and the benches run against it; each bench has a number of its own."""

    engine: Child
    told: SpanLatencies
    folder: Path
    ran: int = 0

    async def trial(self, per_second: float) -> Judged:
        """Run a few requests to learn their latencies at this load."""
        self.ran += 1
        return await judge(
            self.engine, MODEL, self.folder, prompts=TRIAL, per_second=per_second, slo=UNLIMITED, seed=self.ran
        )

    async def observe(self, per_second: float, like: Judged) -> Observed:
        """Run with thresholds chosen for these requests."""
        self.ran += 1
        limits = await around(self.engine, quantile(like.requests, MET_RATIO))
        inside = limits["inside"]
        async with goodwatt(config(self.engine, limits), self.folder) as watch:
            await until(watch, lambda p: watching.is_up(p, "vllm"), "up")
            before, claimed = await server_saw(self.engine), await in_progress(self.engine)
            judged = await judge(
                self.engine, MODEL, self.folder, prompts=PROMPTS, per_second=per_second, slo=inside, seed=self.ran
            )
            saw = (await server_saw(self.engine)).minus(before)
            page = await counted(watch)
        compared = Compared(judged, await self.told.latest(self.ran, PROMPTS))
        return Observed(limits, compared, saw, page, claimed)


def holds_what_was_measured(one: Observed) -> None:
    """The server's own count of good requests lies between the bounds, which are no wider than the nearest edges'."""
    for slo, limit in one.limits.items():
        found = bounds(one.page, slo)
        assert found.eligible == PROMPTS, one.said(slo)
        assert found.lower <= one.compared.good(limit) <= found.upper, one.said(slo)
    inside, below, above = (bounds(one.page, slo) for slo in ("inside", "below", "above"))
    assert below.lower <= inside.lower and inside.upper <= above.upper, one.said("inside")


def sharper_than_one_window(one: Observed, slo: str) -> None:
    """On bucket edges the bounds are within those that the counts of the whole bench give.

    What the engine reported in progress at goodwatt's first page is charged once to the lower bound.
    """
    found, marginals = bounds(one.page, slo), one.engine.marginals(one.limits[slo])
    lower, upper = frechet(marginals, PROMPTS)
    assert lower - one.claimed <= found.lower and found.upper <= upper, one.said(slo)


async def settled(benches: Benches, per_second: float, capsys: pytest.CaptureFixture[str]) -> Observed:
    """A bench whose thresholds cut the distribution. What must hold for any bench is checked on the way to it.

    If the thresholds cut nothing, most requests miss them, or the client was delayed by the shared machine, another
    bench follows with thresholds from these requests.
    """
    like = await benches.trial(per_second)
    for _ in range(TRIES):
        one = await benches.observe(per_second, like)
        with capsys.disabled():
            print(f"\n{per_second:g}/s: the client is later by {one.compared.later()} in the median")
            print(*(one.said(slo) for slo in one.limits), sep="\n")
        like = one.compared.client
        one.compared.nothing_is_seen_early()
        for slo in ("below", "above"):
            assert one.compared.met(one.limits[slo]) == one.engine.marginals(one.limits[slo]), one.said(slo)
        holds_what_was_measured(one)
        if one.is_cut and one.is_met and one.compared.is_soon:
            break
    assert one.compared.is_soon, f"the client is later by {one.compared.later()} in the median"
    assert one.is_cut, f"{one.limits['inside']} does not cut the distribution"
    assert one.is_met, f"most requests miss {one.limits['above']}"
    return one


async def test_bounds_hold_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At each load, the good requests that `vllm bench serve --goodput` counts lie between goodwatt's bounds, except
    for requests that the server itself saw on the other side of a threshold.

    The thresholds cut the distribution. On bucket edges the bounds are at least as sharp as those of the engine's own
    counts over the whole bench, and on those that nine in ten requests meet at most a twentieth of the requests apart;
    inside buckets they are within those of the surrounding edges.
    """
    async with (
        collected() as told,
        vllm(tmp_path, MODEL, "--otlp-traces-endpoint", told.url, environment=SENDING) as engine,
    ):
        benches = Benches(engine, told, tmp_path)
        for per_second in LOADS:
            one = await settled(benches, per_second, capsys)
            for slo in ("below", "above"):
                sharper_than_one_window(one, slo)
            assert narrower(one, "above") <= WIDEST_RATIO * PROMPTS, one.said("above")
