"""goodwatt's goodput bounds against per-request measurements of a client and of a real vLLM itself.

The client sees every latency a little later than the server, by the HTTP path: 7 ms on an idle machine, hundreds at
times on a busy one. So it may classify a request near a threshold differently; those are listed with both values. The
server's own latencies, from its spans, leave no such margin.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real import watching
from tests.real.bench import Judged, judge, quantile
from tests.real.engines import Child, Goodwatt, goodwatt, vllm
from tests.real.goodput import MODEL, TRIES, UNLIMITED, Compared, Limits, Seen, around, bounds, server_saw, slos
from tests.real.pages import Page, until
from tests.real.spans import SENDING, SpanLatencies, collected

pytestmark = [pytest.mark.real, pytest.mark.timeout(2700)]

TRIAL, PROMPTS, PER_SECOND = 24, 60, 4.0
SHORT, LONG = "5 s windows", "one long window"
STILL_TO_READ_SECONDS = 5.0  # for the bench's last requests


def config(engine: Child, limits: Limits, *, window: float) -> str:
    return watching.config("vllm", engine.url, interval=1.0, window=window, more=slos(limits))


async def closed(watch: Goodwatt, within_seconds: float) -> Page:
    """The page once every request of the bench is in a closed window."""

    def all_in(page: Page) -> bool:
        return bounds(page, "inside").eligible >= PROMPTS

    return await until(watch, all_in, f"{PROMPTS} requests in closed windows", within_seconds)


def frechet(marginals: list[int], total: int) -> tuple[int, int]:
    """The bounds on how many requests met every threshold, given how many met each."""
    return max(0, sum(marginals) - (len(marginals) - 1) * total), min(marginals)


@dataclass(frozen=True)
class Observed:
    """One bench observed by two goodwatts, one with short windows and one with a long one."""

    limits: Limits
    compared: Compared
    engine: Seen
    pages: Mapping[str, Page]  # by window
    in_one_window: bool  # certainly the whole bench

    @property
    def is_cut(self) -> bool:
        return 0 < self.compared.client.good < PROMPTS

    def said(self, window: str, slo: str) -> str:
        """Every count, and the requests that client and server classify differently."""
        limit, found = self.limits[slo], bounds(self.pages[window], slo)
        line = (
            f"{window}, slo {slo} ({limit}): the client counts {self.compared.client.good_within(limit)} good, the "
            f"server {self.compared.good(limit)}, goodwatt {found.lower:g} to {found.upper:g} of {found.eligible:g}; "
            f"the engine's histograms {self.engine.marginals(limit) if slo != 'inside' else 'have no edge there'}"
        )
        return "\n".join([line, *self.compared.at_a_threshold(limit)])


async def observe(engine: Child, told: SpanLatencies, folder: Path, number: int, like: Judged) -> Observed:
    """Run with thresholds and a long window chosen for these requests."""
    clock = asyncio.get_running_loop().time
    inside = quantile(like.requests, 0.6)
    limits = await around(engine, inside)
    whole = math.ceil(2 * (like.seconds + max(0, PROMPTS - len(like.requests)) / PER_SECOND))
    begun = clock()
    async with (
        goodwatt(config(engine, limits, window=5.0), folder) as narrow,
        goodwatt(config(engine, limits, window=whole), folder) as wide,
    ):
        for watch in (narrow, wide):
            await until(watch, lambda p: watching.is_up(p, "vllm"), "up")
        before = await server_saw(engine)
        judged = await judge(engine, MODEL, folder, prompts=PROMPTS, per_second=PER_SECOND, slo=inside, seed=1 + number)
        in_one_window = clock() - begun < whole - STILL_TO_READ_SECONDS
        saw = (await server_saw(engine)).minus(before)
        pages = {SHORT: await closed(narrow, 15.0), LONG: await closed(wide, whole + 5)}
    compared = Compared(judged, await told.latest(1 + number, PROMPTS))
    return Observed(limits, compared, saw, pages, in_one_window)


def holds_what_was_measured(one: Observed, window: str) -> None:
    """The server's own count of good requests lies between the bounds of the surrounding edges."""
    for slo, limit in one.limits.items():
        found = bounds(one.pages[window], slo)
        assert found.eligible == PROMPTS, one.said(window, slo)
        assert found.lower <= one.compared.good(limit) <= found.upper, one.said(window, slo)
    inside, below, above = (bounds(one.pages[window], slo) for slo in ("inside", "below", "above"))
    assert (inside.lower, inside.upper) == (below.lower, above.upper)


def as_sharp_as_marginals_allow(one: Observed, slo: str) -> None:
    """Both bounds are exactly those given by the engine's own counts for each threshold."""
    found, marginals = bounds(one.pages[LONG], slo), one.engine.marginals(one.limits[slo])
    assert (found.lower, found.upper) == frechet(marginals, PROMPTS), one.said(LONG, slo)


async def test_bounds_hold_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The good requests that `vllm bench serve --goodput` counts lie between goodwatt's bounds in every window,
    except for requests that the server itself saw on the other side of a threshold.

    The thresholds cut the distribution. On bucket edges, and with all requests in one window, the bounds are exactly
    those of the engine's own counts for each threshold; thresholds inside buckets have those of the surrounding
    edges. Invariants are checked for every bench. If the thresholds cut nothing, the long window was too short or the
    client was delayed by the shared machine, another bench follows with thresholds from these requests.
    """
    async with (
        collected() as told,
        vllm(tmp_path, MODEL, "--otlp-traces-endpoint", told.url, environment=SENDING) as engine,
    ):
        like = await judge(engine, MODEL, tmp_path, prompts=TRIAL, per_second=PER_SECOND, slo=UNLIMITED, seed=1)
        for number in range(1, 1 + TRIES):
            one = await observe(engine, told, tmp_path, number, like)
            with capsys.disabled():
                print(f"\nbench {number}: the client is later by {one.compared.later()} in the median")
                print(*(one.said(window, slo) for window in one.pages for slo in one.limits), sep="\n")
            like = one.compared.client
            one.compared.nothing_is_seen_early()
            for slo in ("below", "above"):
                assert one.compared.met(one.limits[slo]) == one.engine.marginals(one.limits[slo]), one.said(LONG, slo)
            for window in one.pages:
                holds_what_was_measured(one, window)
            if one.is_cut and one.in_one_window and one.compared.is_soon:
                break
    assert one.compared.is_soon, f"the client is later by {one.compared.later()} in the median"
    assert one.is_cut, f"{one.limits['inside']} does not cut the distribution"
    assert one.in_one_window, "the bench took longer than the long window"
    for slo in ("below", "above"):
        as_sharp_as_marginals_allow(one, slo)
