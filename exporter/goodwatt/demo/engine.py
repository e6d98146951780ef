"""A continuous-batching engine as a discrete-event simulation. Integer time makes it independent of the step sizes.

Simplifications: a request is admitted only when its whole output fits into the KV cache, so nothing is ever preempted;
a prompt is prefilled in one step.
"""

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from goodwatt.demo.arrivals import Request, arrivals
from goodwatt.demo.counters import EngineCounters
from goodwatt.demo.physics import StepCost
from goodwatt.demo.power import PowerTrace
from goodwatt.demo.request_times import RequestTimes
from goodwatt.demo.server_spec import SimulatedServer
from goodwatt.demo.truth import Truth

NEVER = 1 << 63


@dataclass(frozen=True, slots=True)
class Step:
    """The step in progress. `full` means that requests are left waiting, so new arrivals cannot change the batch."""

    start_ns: int
    cost: StepCost
    admitted: tuple[Request, ...]
    full: bool
    slowdown: float

    @property
    def end_ns(self) -> int:
        """When its tokens are delivered."""
        return self.start_ns + self.cost.duration_ns


@dataclass(frozen=True, slots=True)
class Decoding:
    """A request between its first and its last token."""

    request: Request
    admitted_ns: int
    first_token_ns: int


class SimulatedEngine:
    """One server's scheduler, cache, counters, power draw and ground truth. Not thread-safe."""

    def __init__(self, spec: SimulatedServer, random: Random) -> None:
        self.spec = spec
        self.counters = EngineCounters()
        self.truth = Truth()
        self.power = PowerTrace(spec.physics.idle_milliwatts)
        self._slowdown = 1.0
        self._arrivals = arrivals(spec.load, random)
        self._coming = next(self._arrivals, None)
        self._waiting: deque[Request] = deque()
        self._decoding: list[tuple[int, int, Decoding]] = []  # heap of (last step, number, request)
        self._step: Step | None = None
        self._steps_done = 0
        self._boundary_ns = 0  # end of the last step
        self._reserved_tokens = 0
        self._cached_tokens = 0

    @property
    def now_ns(self) -> int:
        """Current time of the simulation."""
        return self.power.now_ns

    @property
    def running(self) -> int:
        """Requests in the batch, including those being prefilled."""
        return len(self._decoding) + len(self._step.admitted if self._step else ())

    @property
    def decoding(self) -> int:
        """Requests in the batch whose first token has been delivered."""
        return len(self._decoding)

    @property
    def waiting(self) -> int:
        """Requests that have arrived and are not in the batch."""
        return len(self._waiting)

    @property
    def kv_cache_ratio(self) -> float:
        """Share of the KV cache that holds tokens of requests in the batch."""
        return self._cached_tokens / self.spec.physics.kv_cache_tokens

    def advance(self, to_ns: int) -> None:
        """Advance the simulation to `to_ns`; a time in the past changes nothing."""
        while self._turn(to_ns):
            pass
        self._queue_arrivals(to_ns)
        self._draw(to_ns)

    def restart(self) -> None:
        """Drop every request in the engine and reset its counters. The ground truth and the energy continue."""
        self.truth.lost += self.running + self.waiting
        self.counters = EngineCounters(started_ns=self.now_ns)
        self._waiting.clear()
        self._decoding.clear()
        self._step = None
        self._reserved_tokens = self._cached_tokens = 0

    def slow_down(self, factor: float) -> None:
        """Make every later step take `factor` times as long. Raises ValueError unless it is above 0."""
        if not factor > 0:
            raise ValueError(f"a step cannot take {factor} times as long; give a factor above 0")
        self._slowdown = factor

    def _turn(self, to_ns: int) -> bool:
        """Run one step, or several equal ones, ending by `to_ns`. Returns False if none ends by then."""
        if self._step is None:
            self._begin(to_ns)
        step = self._step
        if step is None or step.end_ns > to_ns:
            return False
        self._complete(step, self._repeats(step, to_ns))
        return True

    def _begin(self, to_ns: int) -> None:
        start_ns = self._boundary_ns
        if not (self._decoding or self._waiting):
            start_ns = max(start_ns, self._next_arrival_ns())
        if start_ns > to_ns:
            return
        self._queue_arrivals(start_ns)
        self._draw(start_ns)
        admitted = self._admit()
        prompt_tokens = sum(request.prompt_tokens - request.cached_tokens for request in admitted)
        cost = self.spec.physics.step(len(self._decoding) + len(admitted), prompt_tokens, self._slowdown)
        self._step = Step(start_ns, cost, admitted, bool(self._waiting), self._slowdown)

    def _next_arrival_ns(self) -> int:
        """Return the arrival time of the first request that is not in a step yet."""
        if self._waiting:
            return self._waiting[0].arrival_ns
        return self._coming.arrival_ns if self._coming else NEVER

    def _queue_arrivals(self, to_ns: int) -> None:
        while self._coming and self._coming.arrival_ns <= to_ns:
            self._waiting.append(self._coming)
            self.truth.arrived += 1
            self._coming = next(self._arrivals, None)

    def _admit(self) -> tuple[Request, ...]:
        """Admit requests in order of arrival until the batch size, token budget or KV cache is used up."""
        admitted: list[Request] = []
        seats = self.spec.max_num_seqs - len(self._decoding)
        budget = self.spec.max_batched_tokens
        while self._waiting and len(admitted) < seats and self._fits(self._waiting[0], budget, first=not admitted):
            request = self._waiting.popleft()
            budget -= request.prompt_tokens - request.cached_tokens
            self._occupy(request)
            admitted.append(request)
        return tuple(admitted)

    def _fits(self, request: Request, budget: int, *, first: bool) -> bool:
        room = self.spec.physics.kv_cache_tokens - self._reserved_tokens
        within_budget = first or request.prompt_tokens - request.cached_tokens <= budget
        return within_budget and request.prompt_tokens + request.output_tokens <= room

    def _occupy(self, request: Request) -> None:
        self._reserved_tokens += request.prompt_tokens + request.output_tokens
        self._cached_tokens += request.prompt_tokens
        self.counters.prefix_queries += request.prompt_tokens
        self.counters.prefix_hits += request.cached_tokens

    def _repeats(self, step: Step, to_ns: int) -> int:
        """Count the consecutive steps equal to this one, including it, before anything can change."""
        if step.admitted or step.slowdown != self._slowdown:
            return 1
        duration_ns = step.cost.duration_ns
        repeats = min(self._decoding[0][0] - self._steps_done, (to_ns - step.start_ns) // duration_ns)
        if step.full:
            return repeats
        return min(repeats, -(-(self._next_arrival_ns() - step.start_ns) // duration_ns))

    def _complete(self, step: Step, times: int) -> None:
        end_ns = step.start_ns + times * step.cost.duration_ns
        self._draw(end_ns)
        self._steps_done += times
        self._generate(times * len(self._decoding))
        self.counters.itl.observe(step.cost.duration_ns, times * len(self._decoding))
        for request in step.admitted:
            self._first_token(Decoding(request, step.start_ns, end_ns))
        self._step, self._boundary_ns = None, end_ns
        while self._decoding and self._decoding[0][0] <= self._steps_done:
            self._end(heappop(self._decoding)[2], end_ns)

    def _draw(self, to_ns: int) -> None:
        step = self._step
        if step is None:
            self.power.draw(to_ns, self.spec.physics.idle_milliwatts, busy=False)
            return
        prefilled_ns = step.start_ns + step.cost.prefill_ns
        self.power.draw(min(to_ns, prefilled_ns), step.cost.prefill_milliwatts, busy=True)
        self.power.draw(to_ns, step.cost.decode_milliwatts, busy=True)

    def _generate(self, tokens: int) -> None:
        self._cached_tokens += tokens
        self.counters.generated_tokens += tokens
        self.truth.generated_tokens += tokens

    def _first_token(self, decoding: Decoding) -> None:
        request = decoding.request
        self._generate(1)
        for count in (self.counters, self.truth):
            count.prompt_tokens += request.prompt_tokens
            count.cached_prompt_tokens += request.cached_tokens
        self.counters.ttft.observe(decoding.first_token_ns - request.arrival_ns)
        last_step = self._steps_done + request.output_tokens - 1
        heappush(self._decoding, (last_step, request.number, decoding))

    def _end(self, decoding: Decoding, end_ns: int) -> None:
        request = decoding.request
        self._reserved_tokens -= request.prompt_tokens + request.output_tokens
        self._cached_tokens -= request.prompt_tokens + request.output_tokens
        record = RequestTimes(request, decoding.admitted_ns, decoding.first_token_ns, end_ns)
        self.truth.ended(record)
        if record.succeeded:
            self.counters.finish(record)
