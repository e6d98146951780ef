"""A discrete-event vLLM: Poisson arrivals, continuous batching with chunked prefill, and pages with vLLM's own buckets.

Every request's latencies are known, so bounds proved from the pages can be compared with the truth. As vLLM does, the
simulation observes TTFT at the first token and everything else when a request ends, times errors like successes, and
leaves nothing of a client that disconnected but its first token. Its core measures queue, prefill and decode times: as
on real spans, TTFT exceeds queue + prefill by 2 to 8 ms and agrees with E2E - decode within 1 ms.
"""

import heapq
import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from goodwatt.engines import load_profiles
from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.slo import Slo

MODEL = "llama"
LATENCIES = (Signal.TTFT, Signal.TPOT, Signal.E2E)
CORE_TIMES = (Signal.QUEUE_TIME, Signal.PREFILL_TIME, Signal.DECODE_TIME)
SERVER = "vllm-0"
TRAITS = load_profiles()["vllm"].engine_traits()
EDGES = {signal: tuple(load_profiles()["vllm"].default_edges[signal]) for signal in LATENCIES}
EDGES |= dict.fromkeys(CORE_TIMES, EDGES[Signal.E2E])
MAX_BATCHED_TOKENS = 2048
MAX_SEQUENCES = 256

_GENERATED = SeriesId(Signal.GENERATED_TOKENS, MODEL)
_ONE_TOKEN = SeriesId(Signal.ONE_TOKEN_REQUESTS, MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests and the speed of the server.

    An engine step lasts `step + running * per_sequence + prefilled * per_prompt_token` seconds. Prompt lengths are
    log-normal around their median, output lengths exponential around their mean.
    """

    requests_per_second: float
    prompt_tokens: float
    output_tokens: float
    step: float = 0.008  # seconds
    per_sequence: float = 0.0001
    per_prompt_token: float = 0.00003
    hang_ups: float = 0.0  # share of clients that disconnect while they wait or read
    errors: float = 0.0  # share of requests that fail after at least one token


@dataclass(slots=True)
class SimulatedRequest:
    """One request. `outcome` None: the client disconnected. Times are seconds; None where it has not happened."""

    arrival: float
    prompt: int
    tokens: int
    outcome: Outcome | None
    scheduled_at: float = 0.0
    first_at: float | None = None
    ended_at: float | None = None

    def latency(self, signal: Signal) -> float:
        """A latency after its first token, or after its end for TPOT and E2E. A one-token output has a TPOT of 0."""
        if signal is Signal.TTFT:
            return _first_at(self) - self.arrival
        if signal is Signal.E2E:
            return _ended_at(self) - self.arrival
        return (_ended_at(self) - _first_at(self)) / (self.tokens - 1) if self.tokens > 1 else 0.0

    def core_time(self, signal: Signal) -> float:
        """What the engine core measured of a request that ended."""
        front_end = 0.002 + 0.006 * (self.arrival * 997.0 % 1.0)
        queued = max(0.0, self.scheduled_at - self.arrival - front_end)
        if signal is Signal.QUEUE_TIME:
            return queued
        if signal is Signal.PREFILL_TIME:
            return max(0.0, self.latency(Signal.TTFT) - front_end - queued)
        lag = 0.001 * (self.arrival * 613.0 % 2.0 - 1.0)
        return max(0.0, _ended_at(self) - _first_at(self) + lag) if self.tokens > 1 else 0.0

    def is_good(self, slo: Slo) -> bool:
        """Whether it succeeded within every threshold; one-token outputs meet a TPOT threshold."""
        return self.outcome is Outcome.SUCCESS and all(self.latency(t.signal) <= t.seconds for t in slo.thresholds)


def simulate(load: Load, seconds: float, seed: int) -> list[SimulatedRequest]:
    """Return every request that arrived, including those that were still waiting or running at the end."""
    requests = list(_arrivals(load, seconds, random.Random(seed)))
    scheduler, arrived = _Scheduler(load), 0
    while scheduler.now < seconds:
        while arrived < len(requests) and requests[arrived].arrival <= scheduler.now:
            scheduler.waiting.append(requests[arrived])
            arrived += 1
        if scheduler.waiting or scheduler.running:
            scheduler.run_step()
        elif arrived < len(requests):
            scheduler.now = requests[arrived].arrival
        else:
            break
    return requests


class _Scheduler:
    """Each step adds one token to every running request and spends the rest of its budget on prompts that wait."""

    def __init__(self, load: Load) -> None:
        self.load, self.now = load, 0.0
        self.waiting: deque[SimulatedRequest] = deque()
        self.running: list[tuple[int, float, SimulatedRequest]] = []  # heap: step of the last token, arrival, request
        self._steps = self._prefilled = 0

    def run_step(self) -> None:
        """Advance to the end of the step, and record which first tokens and ends it brought."""
        load, decoding = self.load, len(self.running)
        begun, prompt_tokens = self._prefill(MAX_BATCHED_TOKENS - decoding, MAX_SEQUENCES - decoding)
        self.now += load.step + decoding * load.per_sequence + prompt_tokens * load.per_prompt_token
        self._steps += 1
        for request in begun:
            request.first_at = self.now if request.tokens else None
            last = self._steps + max(request.tokens, 1) - 1
            heapq.heappush(self.running, (last, request.arrival, request))
        while self.running and self.running[0][0] <= self._steps:
            heapq.heappop(self.running)[2].ended_at = self.now

    def _prefill(self, budget: int, room: int) -> tuple[list[SimulatedRequest], int]:
        """Return the requests whose prompt this step completes, and how many prompt tokens it processes."""
        begun, processed = list[SimulatedRequest](), 0
        while self.waiting and processed < budget and len(begun) < room:
            prompt = self.waiting[0].prompt
            if not self._prefilled:
                self.waiting[0].scheduled_at = self.now
            chunk = min(prompt - self._prefilled, budget - processed)
            processed, self._prefilled = processed + chunk, self._prefilled + chunk
            if self._prefilled == prompt:
                begun.append(self.waiting.popleft())
                self._prefilled = 0
        return begun, processed


def _arrivals(load: Load, seconds: float, chance: random.Random) -> Iterator[SimulatedRequest]:
    at = chance.expovariate(load.requests_per_second)
    while at < seconds:
        tokens = max(1, round(chance.expovariate(1.0 / load.output_tokens)))
        prompt = max(1, round(chance.lognormvariate(math.log(load.prompt_tokens), 0.6)))
        fate, outcome = chance.random(), Outcome.SUCCESS
        request = SimulatedRequest(at, prompt, tokens, outcome)
        if fate < load.hang_ups:
            request.tokens, request.outcome = chance.randint(0, tokens), None
        elif fate < load.hang_ups + load.errors:
            request.tokens, request.outcome = chance.randint(1, tokens), Outcome.ERROR
        yield request
        at += chance.expovariate(load.requests_per_second)


def pages(requests: Sequence[SimulatedRequest], times: Iterable[float]) -> Iterator[EngineReading]:
    """Yield the page that /metrics returns at each of these ascending times."""
    metrics = _Metrics()
    arrivals = deque(requests)
    begun = deque(sorted((r for r in requests if r.first_at is not None), key=_first_at))
    ended = deque(sorted((r for r in requests if r.ended_at is not None), key=_ended_at))
    for at in times:
        while arrivals and arrivals[0].arrival <= at:
            metrics.waiting += 1
            arrivals.popleft()
        while begun and _first_at(begun[0]) <= at:
            metrics.count_first_token(begun.popleft())
        while ended and _ended_at(ended[0]) <= at:
            metrics.count_end(ended.popleft())
        yield metrics.page(at)


def _first_at(request: SimulatedRequest) -> float:
    return math.inf if request.first_at is None else request.first_at


def _ended_at(request: SimulatedRequest) -> float:
    return math.inf if request.ended_at is None else request.ended_at


class _Buckets:
    def __init__(self, edges: tuple[float, ...]) -> None:
        self._edges, self._counts, self._sum = edges, [0] * (len(edges) + 1), 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._edges, value)] += 1
        self._sum += value

    def histogram(self) -> Histogram:
        *counts, count = map(float, accumulate(self._counts))
        return Histogram(edges=self._edges, counts=tuple(counts), count=count, sum=self._sum)


class _Metrics:
    """What the server has counted so far. A request in the middle of its prefill counts as waiting."""

    def __init__(self) -> None:
        self.waiting = self._running = 0
        self._latencies = {signal: _Buckets(edges) for signal, edges in EDGES.items()}
        self._counters = {
            SeriesId(Signal.REQUESTS, MODEL, outcome=Outcome.SUCCESS): 0.0,
            SeriesId(Signal.REQUESTS, MODEL, outcome=Outcome.ERROR): 0.0,
            _GENERATED: 0.0,
            _ONE_TOKEN: 0.0,
            SeriesId(Signal.PREEMPTIONS, MODEL): 0.0,
        }

    def count_first_token(self, request: SimulatedRequest) -> None:
        self.waiting -= 1
        self._running += 1
        self._latencies[Signal.TTFT].observe(request.latency(Signal.TTFT))

    def count_end(self, request: SimulatedRequest) -> None:
        if request.first_at is None:
            self.waiting -= 1
            return
        self._running -= 1
        self._counters[_GENERATED] += request.tokens
        if request.outcome is not None:
            self._counters[SeriesId(Signal.REQUESTS, MODEL, outcome=request.outcome)] += 1
            self._counters[_ONE_TOKEN] += request.tokens <= 1
            for signal in (Signal.TPOT, Signal.E2E):
                self._latencies[signal].observe(request.latency(signal))
            for signal in CORE_TIMES:
                self._latencies[signal].observe(request.core_time(signal))

    def page(self, at: float) -> EngineReading:
        return EngineReading(
            server=SERVER,
            at_seconds=at,
            engine="vllm",
            traits=TRAITS,
            counters=dict(self._counters),
            gauges={
                (Signal.REQUESTS_RUNNING, MODEL): float(self._running),
                (Signal.REQUESTS_WAITING, MODEL): float(self.waiting),
            },
            histograms={SeriesId(signal, MODEL): buckets.histogram() for signal, buckets in self._latencies.items()},
        )
