"""Exact goodput from a real vLLM's spans against a client's per-request measurements, at three loads.

The client sees every latency a little later than the server, by the HTTP path: 9 ms on an idle machine, much more on a
busy one. So it may classify a request near a threshold differently; those are listed with both values. The server's own
latencies, copied from its spans, and its histograms leave no such margin: goodwatt's counts equal theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real import traffic, watching
from tests.real.bench import OUTPUT_TOKENS, Latencies, judge, quantile
from tests.real.engines import Child, Goodwatt, free_port, goodwatt, vllm
from tests.real.goodput import MODEL, TRIES, UNLIMITED, Compared, Limits, Seen, around, bounds, server_saw, slos
from tests.real.pages import Page, until
from tests.real.spans import SENDING, SpanLatencies, seen_on_the_way

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]

TRIAL, PROMPTS = 16, 40
LOADS_PER_SECOND = 3.0, 4.0, 6.0
WINDOW_SECONDS = 5.0
SIGNALS = "ttft", "tpot", "e2e"


@dataclass(frozen=True)
class Exact:
    """goodwatt's counts from records for one objective."""

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
    """One bench run: the counts of the client, the server's spans and histograms, and goodwatt's methods."""

    per_second: float
    limits: Limits
    compared: Compared
    engine: Seen
    exact: Mapping[str, Exact]
    lower: float
    upper: float

    @property
    def is_cut(self) -> bool:
        """Whether any threshold lies within the latencies the server saw under this load."""
        return any(0 < self.compared.good(limit) < PROMPTS for limit in self.limits.values())

    def said(self, slo: str) -> str:
        """Every count, and the requests that client and server classify differently."""
        exact, limit = self.exact[slo], self.limits[slo]
        line = (
            f"{self.per_second:g} requests/s, slo {slo} ({limit}): "
            f"the client counts {self.compared.client.good_within(limit)} good, "
            f"goodwatt exactly {exact.good:g} of {exact.eligible:g}"
            + (f", by histograms {self.lower:g} to {self.upper:g}" if slo == "inside" else "")
        )
        return "\n".join([line, *self.compared.at_a_threshold(limit)])


def records(page: Page) -> float:
    return page.total("goodwatt_request_records_total", server="vllm", source="otlp") or 0.0


def requests(page: Page) -> float:
    return page.total(watching.REQUESTS, server="vllm") or 0.0


@dataclass
class Course:
    """One load after the other. `runs` counts the bench runs."""

    engine: Child
    watch: Goodwatt
    told: SpanLatencies
    folder: Path
    config: str
    runs: int = 0

    async def trial(self) -> Sequence[Latencies]:
        """The latencies the server shows before any objective is set."""
        await judge(self.engine, MODEL, self.folder, prompts=TRIAL, per_second=4.0, slo=UNLIMITED, seed=self.runs)
        self.runs += 1
        await until(self.watch, lambda p: (records(p), requests(p)) == (TRIAL, TRIAL), f"{TRIAL} requests", 30.0)
        return await self.told.latest(self.runs, TRIAL)

    async def set_objectives(self, like: Sequence[Latencies]) -> Limits:
        """Set objectives for requests like these from now on."""
        limits = await around(self.engine, quantile(like, 0.6))
        await self.watch.reloaded(self.config + slos(limits))

        def promised(page: Page) -> bool:
            found = page.total("goodwatt_slo_threshold_seconds", slo="inside", signal="ttft")
            return found == limits["inside"].ttft and Exact.of(page, "inside").eligible == 0

        await until(self.watch, promised, "the objectives")
        return limits

    async def load(self, per_second: float, limits: Limits) -> Load:
        """Run the bench once and collect every side's counts of it alone."""
        page = await until(self.watch, lambda p: watching.is_up(p, "vllm"), "up")
        saw, inside = await server_saw(self.engine), limits["inside"]
        before, bound = {slo: Exact.of(page, slo) for slo in limits}, bounds(page, "inside")
        judged = await judge(
            self.engine, MODEL, self.folder, prompts=PROMPTS, per_second=per_second, slo=inside, seed=self.runs
        )
        self.runs += 1

        def settled(page: Page) -> bool:
            both = Exact.of(page, "inside").minus(before["inside"]).eligible, bounds(page, "inside").eligible
            return both == (PROMPTS, bound.eligible + PROMPTS)

        page = await until(self.watch, settled, f"{PROMPTS} requests by both methods", WINDOW_SECONDS + 10)
        seen, after = (await server_saw(self.engine)).minus(saw), bounds(page, "inside")
        exact = {slo: Exact.of(page, slo).minus(before[slo]) for slo in limits}
        compared = Compared(judged, await self.told.latest(self.runs, PROMPTS))
        return Load(per_second, limits, compared, seen, exact, after.lower - bound.lower, after.upper - bound.upper)


def agrees(load: Load) -> None:
    """Exact counts match the server's own latencies; the client's differ only by the path between them."""
    load.compared.nothing_is_seen_early()
    for slo, limit in load.limits.items():
        exact, said = load.exact[slo], load.said(slo)
        assert exact.eligible == PROMPTS, said
        assert exact.good == load.compared.good(limit), said
        assert list(exact.met) == load.compared.met(limit), said
        assert (exact.tokens, exact.good_tokens) == (OUTPUT_TOKENS * PROMPTS, OUTPUT_TOKENS * exact.good), said
    for slo in ("below", "above"):
        assert list(load.exact[slo].met) == load.engine.marginals(load.limits[slo]), load.said(slo)
    assert load.lower <= load.exact["inside"].good <= load.upper, load.said("inside")


async def test_exact_goodput_is_what_a_client_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At three loads goodwatt's exact count of good requests is that of `vllm bench serve --goodput`, except requests
    that the server itself saw on the other side of a threshold, and lies between the bounds from histograms; each
    threshold on a bucket's edge is met by exactly as many requests as the engine's own bucket holds. A client
    disconnect sends no span.

    The thresholds cut the distribution at each load. If they do not, or the client was delayed by the
    shared machine, another run follows with thresholds from these requests."""
    port = free_port()
    listen = f"otlp: {{listen: '127.0.0.1:{port}'}}\n"
    async with (
        seen_on_the_way(port) as told,
        vllm(tmp_path, MODEL, "--otlp-traces-endpoint", told.url, environment=SENDING) as engine,
        goodwatt(watching.config("vllm", engine.url, window=WINDOW_SECONDS, more=listen), tmp_path) as watch,
    ):
        course = Course(engine, watch, told, tmp_path, watch.config.read_text())
        limits = await course.set_objectives(await course.trial())
        for per_second in LOADS_PER_SECOND:
            for _ in range(TRIES):
                load = await course.load(per_second, limits)
                with capsys.disabled():
                    later = load.compared.later()
                    print(f"\n{load.per_second:g} requests/s: the client is later by {later} in the median")
                    print(*map(load.said, load.limits), sep="\n")
                agrees(load)
                if load.is_cut and load.compared.is_soon:
                    break
                limits = await course.set_objectives(load.compared.server)
            assert load.compared.is_soon, f"the client is later by {load.compared.later()} in the median"
            assert load.is_cut, f"no threshold cuts the distribution at {per_second:g} requests/s"
        await traffic.hang_up(engine.url, MODEL)
        await traffic.load(engine.url, MODEL, requests=1)  # its span arrives after all earlier ones
        count = TRIAL + PROMPTS * (course.runs - 1) + 1
        page = await until(watch, lambda p: records(p) >= count, f"{count} records")
    assert records(page) == count
    assert page.total("goodwatt_request_records_dropped_total") == page.total(
        "goodwatt_request_records_dropped_total", reason="foreign"
    )
