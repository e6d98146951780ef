"""A simulated engine that follows a clock. It computes only when it is read, so an idle demo costs no CPU."""

from collections.abc import Callable, Iterable
from random import Random
from threading import Lock
from typing import TypeVar

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.server_spec import SimulatedServer
from goodwatt.model.slo import Slo

Seen = TypeVar("Seen")


class ClockedEngine:
    """The engine at the current time. Thread-safe, because the metrics page and the GPU driver use different threads.

    The simulation starts `past_seconds` before the clock's current time, so that the first read finds a busy server.
    `watched` SLOs are counted from the start of the simulation.
    """

    def __init__(
        self,
        spec: SimulatedServer,
        random: Random,
        clock: Callable[[], float],
        *,
        past_seconds: float = 0.0,
        watched: Iterable[Slo] = (),
    ) -> None:
        self.spec = spec
        self._engine = SimulatedEngine(spec, random)
        self._clock = clock
        self._zero_seconds = clock() - past_seconds
        self._lock = Lock()
        for slo in watched:
            self._engine.truth.watch(slo)

    def read_now(self, read: Callable[[SimulatedEngine], Seen]) -> Seen:
        """Advance the engine to the current time and return `read(engine)`; `read` may also change the engine."""
        with self._lock:
            self._engine.advance(round((self._clock() - self._zero_seconds) * NANOSECONDS))
            return read(self._engine)
