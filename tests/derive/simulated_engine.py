"""An inference server with known requests: pages as a real engine writes them, and the truth about every request.

All times are seconds on one clock. TTFT is observed at the first token, everything else at the end. A client that
disconnects leaves only its TTFT. A restart kills running requests and resets every series. The engine core's queue,
prefill and decode times are a few milliseconds off, as those of a real engine are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from goodwatt.model.engine import EngineReading, EngineTraits, OneToken, Outcome, SeriesId, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo

MODEL = "llama"


def _exact(seconds: float) -> float:
    return round(seconds * 2**20) / 2**20


@dataclass(frozen=True)
class Request:
    """One request. `outcome` None: the client disconnected. `first` None: it ended before any token."""

    arrival: float
    first: float | None  # seconds from arrival to the first token
    gaps: int  # further tokens
    tpot: float  # seconds for each of them
    outcome: Outcome | None
    preempted: bool = False  # back in the queue between its first token and its end

    @property
    def first_at(self) -> float | None:
        return None if self.first is None else self.arrival + self.first

    @property
    def ends_at(self) -> float:
        return self.arrival + self.e2e

    @property
    def e2e(self) -> float:
        return 1.0 if self.first is None else self.first + self.gaps * self.tpot

    def latency(self, signal: Signal) -> float | None:
        """The latency that the user saw. A one-token output has a TPOT of 0, as a histogram would record it."""
        if self.first is None and signal is not Signal.E2E:
            return None
        return {Signal.TTFT: self.first, Signal.TPOT: self.tpot if self.gaps else 0.0, Signal.E2E: self.e2e}[signal]

    def core_time(self, signal: Signal) -> float:
        """What the core measures of a request that ends: queue + prefill < TTFT, and E2E - decode is near it."""
        before, decode = (self.e2e, 0.0) if self.first is None else (self.first, self.gaps * self.tpot)
        # Multiples of a power of two: sums of them are exact in any order.
        front_end = _exact(0.002 + 0.006 * (self.e2e * 0.37 % 1.0))
        lag = _exact(0.001 * (self.e2e * 0.73 % 2.0 - 1.0))
        queued = 0.25 * (before - front_end)
        return {
            Signal.QUEUE_TIME: queued,
            Signal.PREFILL_TIME: before - front_end - queued,
            Signal.DECODE_TIME: max(0.0, decode + lag) if self.gaps else 0.0,
        }[signal]

    def record(self, server: str) -> RequestRecord:
        """The record of this request by an observer that saw all of it."""
        tokens = self.tokens
        return RequestRecord(
            server=server,
            model=MODEL,
            arrival_unix_seconds=self.arrival,
            e2e_seconds=self.e2e,
            outcome=self.outcome or Outcome.CANCELLED,
            ttft_seconds=self.first,
            tpot_seconds=self.tpot if tokens > 1 else None,
            generated_tokens=tokens,
        )

    @property
    def tokens(self) -> int:
        return 0 if self.first is None else self.gaps + 1

    def is_excluded(self, slo: Slo) -> bool:
        """Whether the SLO's conventions make it neither eligible nor good."""
        if self.outcome is Outcome.SUCCESS:
            has_tpot = any(threshold.signal is Signal.TPOT for threshold in slo.thresholds)
            return has_tpot and self.tokens < 2 and slo.one_token_outputs is OneTokenOutputs.EXCLUDE
        if self.outcome is Outcome.ERROR:
            return slo.errors is Errors.EXCLUDE
        return self.outcome is None or slo.cancelled is Cancelled.EXCLUDE

    def is_good(self, slo: Slo) -> bool:
        """Whether it succeeded within every threshold and is not excluded."""
        has_tpot = any(threshold.signal is Signal.TPOT for threshold in slo.thresholds)
        if has_tpot and self.tokens < 2 and slo.one_token_outputs is not OneTokenOutputs.PASS:
            return False
        felt = [(self.latency(t.signal), t.seconds) for t in slo.thresholds]
        return self.outcome is Outcome.SUCCESS and all(v is not None and v <= limit for v, limit in felt)


@dataclass(frozen=True)
class Habits:
    """How real engines differ."""

    edges: tuple[float, ...]
    one_token: OneToken = OneToken.ZERO
    lazy: bool = False  # a series appears on the page with its first observation
    counts_one_token: bool = False  # the page counts requests that ended with at most one token
    failures_timed: bool = True  # errors and cancelled requests are in the e2e and TPOT histograms
    gauge: str = "current"  # current | missing | stale
    queue_gauges: bool = True  # the waiting gauge and the preemption counter exist
    core_times: bool = True  # queue, prefill and decode times are on the page
    engine: str = "vllm"


@dataclass(frozen=True)
class SimulatedEngine:
    """Requests, restarts and habits; pages are available for any time."""

    requests: tuple[Request, ...]
    restarts: tuple[float, ...]
    habits: Habits

    def epoch(self, at: float) -> int:
        """Number of restarts up to and including this time."""
        return sum(restart <= at for restart in self.restarts)

    def _alive(self, at: float) -> list[Request]:
        """Requests that arrived in the run of this time, up to this time."""
        return [r for r in self.requests if r.arrival <= at and self.epoch(r.arrival) == self.epoch(at)]

    def ended(self, at: float) -> list[Request]:
        """Requests that ended and were counted by now; disconnected clients are in no counter."""
        return [r for r in self._alive(at) if r.ends_at <= at and r.outcome is not None]

    def seen_between(self, before: float, after: float) -> list[Request]:
        """Requests that ended between two pages."""
        same_run = self.epoch(before) == self.epoch(after)
        return [r for r in self.ended(after) if not same_run or r.ends_at > before]

    def page(self, server: str, at: float) -> EngineReading:
        """The page that /metrics returns at this time."""
        habits, alive, ended = self.habits, self._alive(at), self.ended(at)
        timed = [r for r in ended if habits.failures_timed or r.outcome is Outcome.SUCCESS]
        began = [r.first for r in alive if r.first is not None and r.first_at is not None and r.first_at <= at]
        speeds = [
            r.latency(Signal.TPOT)
            for r in timed
            if r.first is not None and (r.gaps or habits.one_token is OneToken.ZERO)
        ]
        observed = {Signal.TTFT: began, Signal.TPOT: speeds, Signal.E2E: [r.e2e for r in timed]}
        for signal in (Signal.QUEUE_TIME, Signal.PREFILL_TIME, Signal.DECODE_TIME) if habits.core_times else ():
            observed[signal] = [r.core_time(signal) for r in timed]
        histograms = {
            SeriesId(signal=signal, model=MODEL): _histogram(values, habits.edges)
            for signal, values in observed.items()
            if values or not habits.lazy
        }
        counters = {
            SeriesId(signal=Signal.REQUESTS, model=MODEL, series="", outcome=outcome): float(
                sum(r.outcome is outcome for r in ended)
            )
            for outcome in Outcome
        }
        counters = {key: value for key, value in counters.items() if value or not habits.lazy}
        generated = float(sum(r.gaps + 1 for r in ended if r.first is not None))
        if generated or not habits.lazy:
            counters[SeriesId(signal=Signal.GENERATED_TOKENS, model=MODEL)] = generated
        if habits.counts_one_token:
            counters[SeriesId(signal=Signal.ONE_TOKEN_REQUESTS, model=MODEL)] = float(sum(r.tokens < 2 for r in ended))
        if habits.queue_gauges:
            preempted = [r for r in alive if r.preempted and r.first_at is not None and r.first_at <= at]
            counters[SeriesId(signal=Signal.PREEMPTIONS, model=MODEL)] = float(len(preempted))
        traits = EngineTraits(one_token_tpot=habits.one_token, **_staleness(habits))
        return EngineReading(
            server=server,
            at_seconds=at,
            engine=habits.engine,
            traits=traits,
            counters=counters,
            gauges=self._gauges(alive, at),
            histograms=histograms,
        )

    def _gauges(self, alive: Iterable[Request], at: float) -> dict[tuple[Signal, str], float]:
        """The lowest running gauge an engine may report: requests still in prefill count as waiting."""
        unfinished = [r for r in alive if r.ends_at > at]
        begun = [r for r in unfinished if r.first_at is not None and r.first_at <= at]
        running = [r for r in begun if not r.preempted]
        gauges = {}
        if self.habits.gauge == "current":
            gauges[Signal.REQUESTS_RUNNING, MODEL] = float(len(running))
        elif self.habits.gauge == "stale":
            gauges[Signal.REQUESTS_RUNNING, MODEL] = 0.0
        if self.habits.queue_gauges:
            gauges[Signal.REQUESTS_WAITING, MODEL] = float(len(unfinished) - len(running))
        return gauges


def _staleness(habits: Habits) -> dict[str, bool]:
    return {"running_is_current": False} if habits.gauge == "stale" else {}


def _histogram(values: list[float], edges: tuple[float, ...]) -> Histogram:
    counts = tuple(float(sum(value <= edge for value in values)) for edge in edges)
    return Histogram(edges=edges, counts=counts, count=float(len(values)), sum=float(sum(values)))
