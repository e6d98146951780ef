"""Exact goodput from a real vLLM's spans, against what a client measured request by request, at three loads.

The client sees every latency a little later than the server does, by the way through HTTP: 9 ms on an idle machine,
much more on a busy one. So it may judge requests that close to a threshold otherwise; they are listed, each as both saw
it. The server's own latencies, read off its spans on their way, and its histograms leave no such room: goodwatt's
counts are theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.real import watching
from tests.real.bench import EACH, OUTPUT_TOKENS, Judged, Latencies, judge, quantile
from tests.real.engines import Child, Goodwatt, free_port, goodwatt, vllm
from tests.real.pages import Page, until
from tests.real.spans import Passed, seen_on_the_way
from tests.real.test_goodput import (
    MODEL,
    SOONER_SECONDS,
    UNLIMITED,
    Seen,
    around,
    bounds,
    server_saw,
    slo_entry,
)
from tests.real.traffic import hang_up

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

TRIAL, PROMPTS = 16, 40
LOADS_PER_SECOND = 3.0, 4.0, 6.0
WINDOW_SECONDS = 5.0
SIGNALS = "ttft", "tpot", "e2e"
# As docs/otlp.md says; the spans' delay is shortened from 5 s to save time here.
SENDING = {
    "OTEL_SERVICE_NAME": "vllm",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}


@dataclass(frozen=True)
class Exact:
    """What goodwatt counted from records for one objective."""

    eligible: float
    good: float
    tokens: float
    good_tokens: float
    met: tuple[float, ...]

    @classmethod
    def of(cls, page: Page, slo: str) -> "Exact":
        names = "slo_requests", "slo_good_requests", "slo_tokens", "slo_good_tokens"
        totals = [page.total(f"goodwatt_{name}_total", slo=slo, method="exact") or 0.0 for name in names]
        met = "goodwatt_slo_threshold_met_requests_total"
        return cls(*totals, tuple(page.total(met, slo=slo, method="exact", signal=one) or 0.0 for one in SIGNALS))

    def minus(self, before: "Exact") -> "Exact":
        met = tuple(now - then for now, then in zip(self.met, before.met, strict=True))
        return Exact(
            self.eligible - before.eligible,
            self.good - before.good,
            self.tokens - before.tokens,
            self.good_tokens - before.good_tokens,
            met,
        )


@dataclass(frozen=True)
class Load:
    """One run of the bench: what the client, the server's spans and histograms, and goodwatt's methods say of it."""

    per_second: float
    judged: Judged
    server: Sequence[Latencies]  # of the client's requests, in their order
    engine: Seen
    exact: Mapping[str, Exact]
    lower: float
    upper: float

    @property
    def both(self) -> list[tuple[Latencies, Latencies]]:
        """Each request as the client saw it, and as the server did."""
        return list(zip(self.judged.requests, self.server, strict=True))

    def later(self) -> Latencies:
        """How much later the client saw things, in the median."""
        gaps = [client.minus(server) for client, server in self.both]
        return Latencies(*(median(of(gap) for gap in gaps) for of in EACH))


def records(page: Page) -> float:
    return page.total("goodwatt_request_records_total", server="vllm", source="otlp") or 0.0


@dataclass(frozen=True)
class Course:
    """The same objectives at one load after the other."""

    engine: Child
    watch: Goodwatt
    passed: Passed
    folder: Path
    limits: Mapping[str, Latencies]

    async def load(self, number: int, per_second: float) -> Load:
        """Run the bench once, and take what every side counted of it and of nothing else."""
        page, saw, inside = await self.watch.page(), await server_saw(self.engine), self.limits["inside"]
        before, bound = {slo: Exact.of(page, slo) for slo in self.limits}, bounds(page, "inside")
        judged = await judge(
            self.engine, MODEL, self.folder, prompts=PROMPTS, per_second=per_second, slo=inside, seed=10 + number
        )
        assert judged.good == judged.good_within(inside), "the bench counts as this test does"

        def settled(page: Page) -> bool:
            both = Exact.of(page, "inside").minus(before["inside"]).eligible, bounds(page, "inside").eligible
            return both == (PROMPTS, bound.eligible + PROMPTS)

        page = await until(self.watch, settled, f"{PROMPTS} requests by both methods", WINDOW_SECONDS + 10)
        seen, after = (await server_saw(self.engine)).minus(saw), bounds(page, "inside")
        exact = {slo: Exact.of(page, slo).minus(before[slo]) for slo in self.limits}
        server = self.passed.latest()
        return Load(per_second, judged, server, seen, exact, after.lower - bound.lower, after.upper - bound.upper)


def said(load: Load, slo: str, limit: Latencies) -> str:
    """Every request that client and server judge differently is listed."""
    exact = load.exact[slo]
    differing = [(client, server) for client, server in load.both if client.within(limit) != server.within(limit)]
    lines = [
        f"{load.per_second:g} requests/s, slo {slo} ({limit}): "
        f"the client counts {load.judged.good_within(limit)} good, "
        f"goodwatt exactly {exact.good:g} of {exact.eligible:g}"
        + (f", by histograms {load.lower:g} to {load.upper:g}" if slo == "inside" else ""),
        *(f"    at a threshold: client {client}; server {server}" for client, server in differing),
    ]
    return "\n".join(lines)


def agrees(load: Load, slo: str, limit: Latencies) -> None:
    """Exact counts are those of the server's own latencies, which are the client's but for the way between them."""
    exact, told = load.exact[slo], said(load, slo, limit)
    assert exact.eligible == PROMPTS, told
    assert exact.good == sum(one.within(limit) for one in load.server), told
    assert list(exact.met) == [sum(of(one) <= of(limit) for one in load.server) for of in EACH], told
    assert (exact.tokens, exact.good_tokens) == (OUTPUT_TOKENS * PROMPTS, OUTPUT_TOKENS * exact.good), told
    sooner = Latencies(ttft=SOONER_SECONDS, tpot=1.0, e2e=SOONER_SECONDS)
    for client, server in load.both:
        assert server.within(client.plus(sooner)), f"the client saw {client} before the server did: {server}"


async def test_exact_goodput_is_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At three loads goodwatt's exact count of good requests is that of `vllm bench serve --goodput`, but for requests
    at a threshold, and lies between the bounds from histograms; each threshold on a bucket's edge is met by exactly as
    many requests as the engine's own bucket holds. A client that hangs up sends no span."""
    port = free_port()
    listen = f"otlp: {{listen: '127.0.0.1:{port}'}}\n"
    async with (
        seen_on_the_way(port) as passed,
        vllm(tmp_path, MODEL, "--otlp-traces-endpoint", passed.url, environment=SENDING) as engine,
        goodwatt(watching.config("vllm", engine.url, window=WINDOW_SECONDS, more=listen), tmp_path) as watch,
    ):
        await judge(engine, MODEL, tmp_path, prompts=TRIAL, per_second=4.0, slo=UNLIMITED, seed=1)
        await until(watch, lambda p: records(p) == TRIAL, f"{TRIAL} records", 30.0)
        limits = await around(engine, quantile(passed.latest(), 0.6))
        slos = "".join(slo_entry(name, limit) for name, limit in limits.items())
        await watch.reloaded(f"{watch.config.read_text()}slos:\n{slos}")
        await until(watch, lambda p: Exact.of(p, "inside").eligible == 0 and "inside" in p.text, "the objectives")
        course = Course(engine, watch, passed, tmp_path, limits)
        loads = [await course.load(number, rate) for number, rate in enumerate(LOADS_PER_SECOND)]
        await hang_up(engine.url, MODEL)
        page = await watch.page()
    with capsys.disabled():
        for load in loads:
            print(f"\n{load.per_second:g} requests/s: the client is later by {load.later()} in the median")
            print(*(said(load, slo, limit) for slo, limit in limits.items()), sep="\n")
    for load in loads:
        for slo, limit in limits.items():
            agrees(load, slo, limit)
        for slo in ("below", "above"):
            assert list(load.exact[slo].met) == load.engine.marginals(limits[slo]), said(load, slo, limits[slo])
        assert load.lower <= load.exact["inside"].good <= load.upper, said(load, "inside", limits["inside"])
        cut = [slo for slo in limits if 0 < load.exact[slo].good < PROMPTS]
        assert cut, f"no threshold cuts the distribution at {load.per_second:g} requests/s"
    assert records(page) == TRIAL + PROMPTS * len(loads)
    assert page.total("goodwatt_requests_shed_total") == page.total("goodwatt_requests_shed_total", reason="foreign")
