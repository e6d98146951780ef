"""goodwatt's bounds on goodput against what a client and a real vLLM itself measured request by request.

The client sees every latency a little later than the server does, by the way through HTTP: 7 ms on an idle machine,
hundreds now and then on a busy one. So it may judge a request at a threshold otherwise; such are listed, as both saw
them. The server's own latencies, read off its spans, leave no such room.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.real import watching
from tests.real.bench import EACH, Judged, Latencies, judge, quantile
from tests.real.engines import Child, Goodwatt, goodwatt, vllm
from tests.real.pages import Page, fetch, until
from tests.real.spans import SENDING, Told, collected

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

MODEL = "slow"
TRIAL, PROMPTS, PER_SECOND = 24, 60, 4.0
UNLIMITED = Latencies(1000.0, 1000.0, 1000.0)
TRIES = 3
NO_SOONER = Latencies(ttft=0.001, tpot=math.inf, e2e=0.001)  # the client's clock cannot be much ahead of the server's
SHORT, LONG = "5 s windows", "one long window"
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
class Compared:
    """The same requests in the same order, as the client saw them and as the server did."""

    client: Judged
    server: Sequence[Latencies]

    @property
    def both(self) -> list[tuple[Latencies, Latencies]]:
        return list(zip(self.client.requests, self.server, strict=True))

    def later(self) -> Latencies:
        """How much later the client saw things, in the median."""
        gaps = [client.minus(server) for client, server in self.both]
        return Latencies(*(median(of(gap) for gap in gaps) for of in EACH))

    def good(self, limit: Latencies) -> int:
        """How many requests met all three thresholds by the server's clock."""
        return sum(one.within(limit) for one in self.server)

    def met(self, limit: Latencies) -> list[int]:
        """How many requests met each threshold by the server's clock."""
        return [sum(of(one) <= of(limit) for one in self.server) for of in EACH]

    def at_a_threshold(self, limit: Latencies) -> list[str]:
        """Every request that client and server judge differently, a line each."""
        return [
            f"    at a threshold: client {client}; server {server}"
            for client, server in self.both
            if client.within(limit) != server.within(limit)
        ]

    def nothing_is_seen_early(self) -> None:
        for client, server in self.both:
            assert server.within(client.plus(NO_SOONER)), f"the client saw {client} before the server did: {server}"


def frechet(marginals: list[int], total: int) -> tuple[int, int]:
    """Between how many and how many requests met every threshold, when so many met each."""
    return max(0, sum(marginals) - (len(marginals) - 1) * total), min(marginals)


@dataclass(frozen=True)
class Run:
    """One bench under the eyes of two goodwatts, one with short windows and one with a long one."""

    limits: Limits
    compared: Compared
    engine: Seen
    pages: Mapping[str, Page]  # by window
    one_window: bool  # no long one closed before the bench was over

    @property
    def cuts(self) -> bool:
        return 0 < self.compared.client.good < PROMPTS

    def said(self, window: str, slo: str) -> str:
        """What everybody counted, and the requests that client and server judge differently."""
        limit, found = self.limits[slo], bounds(self.pages[window], slo)
        line = (
            f"{window}, slo {slo} ({limit}): the client counts {self.compared.client.good_within(limit)} good, the "
            f"server {self.compared.good(limit)}, goodwatt {found.lower:g} to {found.upper:g} of {found.eligible:g}"
        )
        return "\n".join([line, *self.compared.at_a_threshold(limit)])


async def run(engine: Child, told: Told, folder: Path, number: int, like: Judged) -> Run:
    """The thresholds and the long window are made for requests like these."""
    inside = quantile(like.requests, 0.6)
    limits = await around(engine, inside)
    whole = math.ceil(2 * (like.seconds + max(0, PROMPTS - len(like.requests)) / PER_SECOND))
    async with (
        goodwatt(config(engine, limits, window=5.0), folder) as narrow,
        goodwatt(config(engine, limits, window=whole), folder) as wide,
    ):
        for watch in (narrow, wide):
            await until(watch, lambda p: watching.is_up(p, "vllm"), "up")
        before = await server_saw(engine)
        judged = await judge(engine, MODEL, folder, prompts=PROMPTS, per_second=PER_SECOND, slo=inside, seed=1 + number)
        one_window = bounds(await wide.page(), "inside").eligible == 0
        seen = (await server_saw(engine)).minus(before)
        pages = {SHORT: await closed(narrow, 15.0), LONG: await closed(wide, whole + 5)}
    assert judged.good == judged.good_within(inside), "the bench counts as this test does"
    return Run(limits, Compared(judged, await told.latest(1 + number, PROMPTS)), seen, pages, one_window)


def holds_what_was_measured(run: Run, window: str, slo: str) -> None:
    """The server's own count of good requests lies between the bounds."""
    found = bounds(run.pages[window], slo)
    assert found.eligible == PROMPTS, run.said(window, slo)
    assert found.lower <= run.compared.good(run.limits[slo]) <= found.upper, run.said(window, slo)


def as_sharp_as_marginals_allow(run: Run, slo: str) -> None:
    """Both bounds are exactly those that the engine's own counts for each threshold give."""
    found, marginals = bounds(run.pages[LONG], slo), run.engine.marginals(run.limits[slo])
    assert run.compared.met(run.limits[slo]) == marginals, f"{run.said(LONG, slo)}; the engine counts {marginals}"
    assert (found.lower, found.upper) == frechet(marginals, PROMPTS), f"{run.said(LONG, slo)}; it counts {marginals}"


async def test_bounds_hold_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The good requests that `vllm bench serve --goodput` counts lie between goodwatt's bounds, whatever the window,
    but for requests that the server itself saw on the other side of a threshold.

    The thresholds cut the distribution. On bucket edges, and with all requests in one window, the bounds are exactly
    those of the engine's own counts for each threshold; thresholds inside buckets have those of the edges around them.
    A run whose thresholds cut nothing or whose long window was too short, since the machine's speed changed, is
    repeated with those of its own requests.
    """
    async with (
        collected() as told,
        vllm(tmp_path, MODEL, "--otlp-traces-endpoint", told.url, environment=SENDING) as engine,
    ):
        like = await judge(engine, MODEL, tmp_path, prompts=TRIAL, per_second=PER_SECOND, slo=UNLIMITED, seed=1)
        for number in range(1, 1 + TRIES):
            seen = await run(engine, told, tmp_path, number, like)
            if seen.cuts and seen.one_window:
                break
            like = seen.compared.client
    with capsys.disabled():
        print(f"\nrun {number}: the client is later by {seen.compared.later()} in the median")
        print(*(seen.said(window, slo) for window in seen.pages for slo in seen.limits), sep="\n")
    assert seen.cuts, f"{seen.limits['inside']} does not cut the distribution"
    assert seen.one_window, "the bench took longer than the long window"
    seen.compared.nothing_is_seen_early()
    for window in seen.pages:
        for slo in seen.limits:
            holds_what_was_measured(seen, window, slo)
        inside, below, above = (bounds(seen.pages[window], slo) for slo in ("inside", "below", "above"))
        assert (inside.lower, inside.upper) == (below.lower, above.upper)
    for slo in ("below", "above"):
        as_sharp_as_marginals_allow(seen, slo)
