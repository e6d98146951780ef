"""A simulated vLLM that restarts, preempts requests and is sometimes not readable, with spans that arrive late.

Built on the discrete-event vLLM. Its requests are known, and so is which page and which tick's records count each.
"""

import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Slo
from tests.fakes.simulated_vllm import MODEL, SERVER, Load, SimulatedRequest, pages, simulate

_RUNNING, _WAITING = (Signal.REQUESTS_RUNNING, MODEL), (Signal.REQUESTS_WAITING, MODEL)
_PREEMPTIONS = SeriesId(Signal.PREEMPTIONS, MODEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process of the server, from its start until it is killed. Times are seconds."""

    start: float
    end: float
    load: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong. `unreadable` are ranges of time in which the server does not answer."""

    preempted: float = 0.0  # share of requests that are back in the queue for a while before they end
    span_delay: float = 0.0  # seconds between a request's end and its record, at most
    unreadable: tuple[tuple[float, float], ...] = ()

    def is_readable(self, at: float) -> bool:
        """Whether the server answers at this time."""
        return not any(start <= at < end for start, end in self.unreadable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A request that ended, and the times of the ticks whose page and records counted it; None if none did."""

    request: SimulatedRequest
    paged_at: float | None
    recorded_at: float | None

    @property
    def is_eligible(self) -> bool:
        """Whether an SLO with the default conventions counts it."""
        return self.request.outcome is not None

    def is_good(self, slo: Slo) -> bool:
        """Whether it succeeded within every threshold."""
        return self.request.is_good(slo)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What goodwatt reads at one tick. `page` is None where the server does not answer."""

    at: float
    page: EngineReading | None
    records: tuple[RequestRecord, ...]


def live(runs: Sequence[Run], faults: Faults, times: Sequence[float], seed: int) -> tuple[list[Tick], list[Ended]]:
    """Run the server, and return each tick at these ascending times, and every request that ended."""
    chance = random.Random(seed)
    readable = [at for at in times if faults.is_readable(at)]
    pages_at: dict[float, EngineReading] = {}
    ended: list[Ended] = []
    for number, run in enumerate(runs):
        requests = simulate(run.load, run.end - run.start, seed + number)
        inside = [at for at in readable if run.start <= at < run.end]
        pages_at |= {page.at_seconds: page for page in _pages(run, requests, inside, faults.preempted, chance)}
        for request in requests:
            if request.ended_at is not None and request.ended_at < run.end - run.start:
                end = run.start + request.ended_at
                recorded_at = _first(times, end + chance.uniform(0.0, faults.span_delay))
                ended.append(Ended(request=request, paged_at=_first(inside, end), recorded_at=recorded_at))
    records: dict[float | None, list[RequestRecord]] = {at: [] for at in (*times, None)}
    for one in ended:
        records[one.recorded_at].append(_record(one.request))
    return [Tick(at=at, page=pages_at.get(at), records=tuple(records[at])) for at in times], ended


def _first(times: Sequence[float], at: float) -> float | None:
    """The first of these times that is not before `at`."""
    place = bisect_left(times, at)
    return times[place] if place < len(times) else None


def _pages(
    run: Run, requests: Sequence[SimulatedRequest], times: Sequence[float], share: float, chance: random.Random
) -> Iterator[EngineReading]:
    """Yield the pages of a run at these times. Preempted requests wait between their first token and their end."""
    preempted = []
    for request in requests:
        first, end = request.first_at, request.ended_at
        if first is not None and end is not None and chance.random() < share:
            left = chance.uniform(first, end)
            preempted.append((left, chance.uniform(left, end)))
    for page in pages(requests, [at - run.start for at in times]):
        at = page.at_seconds
        absent = sum(left <= at < back for left, back in preempted)
        yield replace(
            page,
            at_seconds=at + run.start,
            counters={**page.counters, _PREEMPTIONS: float(sum(left <= at for left, _ in preempted))},
            gauges={_RUNNING: page.gauges[_RUNNING] - absent, _WAITING: page.gauges[_WAITING] + absent},
        )


def _record(request: SimulatedRequest) -> RequestRecord:
    """The record of an observer that sees all of a request. A client that disconnected was cancelled."""
    has_tokens = request.first_at is not None
    return RequestRecord(
        server=SERVER,
        model=MODEL,
        arrival_unix_seconds=request.arrival,
        e2e_seconds=request.latency(Signal.E2E),
        outcome=request.outcome or Outcome.CANCELLED,
        ttft_seconds=request.latency(Signal.TTFT) if has_tokens else None,
        tpot_seconds=request.latency(Signal.TPOT) if has_tokens and request.tokens > 1 else None,
        generated_tokens=request.tokens,
    )
