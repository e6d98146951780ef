"""A simulated engine that keeps up with a clock. It computes only when asked, so nobody looking costs nothing."""

from collections.abc import Callable, Iterable
from random import Random
from threading import Lock
from typing import TypeVar

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.server_spec import SimulatedServer
from goodwatt.model.slo import Slo

Seen = TypeVar("Seen")


class LiveEngine:
    """The engine as it is now. Safe to ask from several threads: the page and the GPU driver live on different ones.

    The simulation begins `past_seconds` before the clock's present, so that the first look finds a busy server.
    `watched` objectives are counted from the simulation's zero.
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
        """Bring the engine up to now and answer what `read` makes of it; `read` may also change it."""
        with self._lock:
            self._engine.advance(round((self._clock() - self._zero_seconds) * NANOSECONDS))
            return read(self._engine)
