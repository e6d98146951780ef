"""The same requests seen by a client, by a real vLLM's spans and histograms, and by goodwatt's bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.real.bench import EACH, Judged, Latencies, quantile
from tests.real.engines import Child
from tests.real.pages import Page, fetch

MODEL = "slow"
UNLIMITED = Latencies(1000.0, 1000.0, 1000.0)
TRIES = 6  # a shared machine's speed changes between the trial and the real run
NO_SOONER = Latencies(ttft=0.001, tpot=1.0, e2e=0.001)  # the client's clock cannot be much ahead of the server's
SOON = 0.2  # of the server's median
HISTOGRAMS = "time_to_first_token_seconds", "request_time_per_output_token_seconds", "e2e_request_latency_seconds"

Limits = Mapping[str, Latencies]


@dataclass(frozen=True)
class Bounds:
    eligible: float
    lower: float
    upper: float


def bounds(page: Page, slo: str, method: str = "histogram") -> Bounds:
    """goodwatt's bounds for an SLO; zeros while the server is down."""
    of = {"slo": slo, "method": method}
    good = (page.total("goodwatt_slo_good_requests_total", **of, bound=bound) for bound in ("lower", "upper"))
    eligible = page.total("goodwatt_slo_requests_total", **of)
    return Bounds(eligible or 0.0, *(value or 0.0 for value in good))


def slos(limits: Limits) -> str:
    """These thresholds as goodwatt's configuration."""
    return "slos:\n" + "".join(_slo(name, limit) for name, limit in limits.items())


def _slo(name: str, limit: Latencies) -> str:
    keys = f"ttft_seconds: {limit.ttft!r}, tpot_seconds: {limit.tpot!r}, e2e_seconds: {limit.e2e!r}"
    return f"  - {{name: {name}, {keys}, objective_ratio: 0.5}}\n"


async def around(engine: Child, inside: Latencies) -> Limits:
    """Three SLOs: the thresholds, and the edges of vLLM's buckets just below and above each of them."""
    page = await fetch(f"{engine.url}/metrics")
    pairs = [_edges_around(page, name, of(inside)) for name, of in zip(HISTOGRAMS, EACH, strict=True)]
    below, above = zip(*pairs, strict=True)
    return {"inside": inside, "below": Latencies(*below), "above": Latencies(*above)}


def _edges_around(page: Page, histogram: str, wanted: float) -> tuple[float, float]:
    edges = {float(dict(labels)["le"]) for labels in page.series(f"vllm:{histogram}_bucket")} - {math.inf}
    return max(edge for edge in edges if edge <= wanted), min(edge for edge in edges if edge >= wanted)


@dataclass(frozen=True)
class Seen:
    """The engine's own histograms of the three latencies: counts by upper edge."""

    counts: tuple[Mapping[float, float], ...]

    def minus(self, before: "Seen") -> "Seen":
        pairs = zip(self.counts, before.counts, strict=True)
        return Seen(tuple({edge: n - b.get(edge, 0.0) for edge, n in a.items()} for a, b in pairs))

    def marginals(self, limit: Latencies) -> list[int]:
        """How many requests met each threshold; the thresholds are edges."""
        return [round(counts[of(limit)]) for counts, of in zip(self.counts, EACH, strict=True)]


async def server_saw(engine: Child) -> Seen:
    """The engine's counts since its start."""
    page = await fetch(f"{engine.url}/metrics")
    return Seen(tuple(_counts(page, name) for name in HISTOGRAMS))


async def in_progress(engine: Child) -> float:
    """The requests that the engine reports as running or waiting."""
    page = await fetch(f"{engine.url}/metrics")
    return sum(page.total(f"vllm:num_requests_{state}") or 0.0 for state in ("running", "waiting"))


def _counts(page: Page, histogram: str) -> Mapping[float, float]:
    buckets = page.series(f"vllm:{histogram}_bucket")
    return {float(dict(labels)["le"]): value for labels, value in buckets.items()}


@dataclass(frozen=True)
class Compared:
    """The same requests in the same order, as seen by client and server."""

    client: Judged
    server: Sequence[Latencies]

    @property
    def both(self) -> list[tuple[Latencies, Latencies]]:
        return list(zip(self.client.requests, self.server, strict=True))

    def later(self) -> Latencies:
        """The client's median delay relative to the server."""
        gaps = [client.minus(server) for client, server in self.both]
        return Latencies(*(median(of(gap) for gap in gaps) for of in EACH))

    def good(self, limit: Latencies) -> int:
        """How many requests met all three thresholds by the server's clock."""
        return sum(one.within(limit) for one in self.server)

    def met(self, limit: Latencies) -> list[int]:
        """How many requests met each threshold by the server's clock."""
        return [sum(of(one) <= of(limit) for one in self.server) for of in EACH]

    def at_a_threshold(self, limit: Latencies) -> list[str]:
        """Every request that client and server classify differently, one per line."""
        return [
            f"    at a threshold: client {client}; server {server}"
            for client, server in self.both
            if client.within(limit) != server.within(limit)
        ]

    @property
    def is_soon(self) -> bool:
        """Whether the client's median is close to the server's."""
        later, whole = self.later(), quantile(self.server, 0.5)
        return abs(later.tpot) < SOON * whole.tpot and later.e2e < SOON * whole.e2e

    def nothing_is_seen_early(self) -> None:
        """No token reached the client before the server had it; a time per token may be shorter for the client."""
        for client, server in self.both:
            assert server.within(client.plus(NO_SOONER)), f"the client saw {client} before the server did: {server}"
