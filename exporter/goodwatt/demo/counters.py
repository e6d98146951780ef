"""The simulated engine's counters and histograms, as its metrics page shows them. A restart resets them."""

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.request_times import RequestTimes

# vLLM's default bucket edges, in seconds.
TTFT_EDGES = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_EDGES = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
)
REQUEST_EDGES = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0),
    *(120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
LENGTH_EDGES = (*(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0), *(1000.0, 2000.0, 5000.0, 10000.0, 20000.0))
REASONS = ("stop", "length", "abort", "error", "repetition")


class Buckets:
    """A histogram of durations. A value on an edge belongs to that edge's bucket; the sum is exact."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = edges
        self.sum_ns = 0
        self._counts = [0] * (len(edges) + 1)

    def observe(self, duration_ns: int, times: int = 1) -> None:
        """Count one duration `times` times."""
        self._counts[bisect_left(self.edges, duration_ns / NANOSECONDS)] += times
        self.sum_ns += duration_ns * times

    def cumulative(self) -> tuple[int, ...]:
        """Return the observations at or below each edge; the last entry is the total."""
        return tuple(accumulate(self._counts))


@dataclass(slots=True)
class EngineCounters:
    """Counters and histograms since `started_ns`, a time of the simulation."""

    started_ns: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    prefix_queries: int = 0
    prefix_hits: int = 0
    finished: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    ttft: Buckets = field(default_factory=lambda: Buckets(TTFT_EDGES))
    itl: Buckets = field(default_factory=lambda: Buckets(TOKEN_EDGES))
    tpot: Buckets = field(default_factory=lambda: Buckets(TOKEN_EDGES))
    e2e: Buckets = field(default_factory=lambda: Buckets(REQUEST_EDGES))
    queue: Buckets = field(default_factory=lambda: Buckets(REQUEST_EDGES))
    prefill: Buckets = field(default_factory=lambda: Buckets(REQUEST_EDGES))
    decode: Buckets = field(default_factory=lambda: Buckets(REQUEST_EDGES))
    lengths: Buckets = field(default_factory=lambda: Buckets(LENGTH_EDGES))  # tokens, counted as seconds

    def finish(self, record: RequestTimes) -> None:
        """Count what vLLM counts when a request succeeds; vLLM does not count disconnected clients here."""
        self.finished[record.request.ending] += 1
        self.tpot.observe(record.tpot_ns)
        self.e2e.observe(record.e2e_ns)
        self.queue.observe(record.queue_ns)
        self.prefill.observe(record.first_token_ns - record.admitted_ns)
        self.decode.observe(record.ended_ns - record.first_token_ns)
        self.lengths.observe(record.request.output_tokens * NANOSECONDS)
