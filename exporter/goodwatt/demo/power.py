"""Power of one GPU over time: its exact integral, and its mean over the last second."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

PICOJOULES_A_MILLIJOULE = 1_000_000_000
REMEMBERED_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A period of constant power up to `end_ns`; it starts at the end of the previous one."""

    end_ns: int
    milliwatts: int
    busy: bool


class PowerTrace:
    """Energy as the exact integral of a piecewise constant power: 1 mW x 1 ns is 1 pJ.

    `mean_milliwatts` and `busy_percent` cover the last second, as on an H100, or the whole trace if it is shorter.
    """

    def __init__(self, idle_milliwatts: int) -> None:
        self.now_ns = 0
        self.picojoules = 0
        self._pieces = deque([Piece(0, idle_milliwatts, busy=False)])

    @property
    def millijoules(self) -> int:
        """Energy used so far, rounded down."""
        return self.picojoules // PICOJOULES_A_MILLIJOULE

    def draw(self, until_ns: int, milliwatts: int, *, busy: bool) -> None:
        """Add constant power from now to `until_ns`; a time in the past changes nothing."""
        if until_ns <= self.now_ns:
            return
        self.picojoules += (until_ns - self.now_ns) * milliwatts
        self.now_ns = until_ns
        self._pieces.append(Piece(until_ns, milliwatts, busy))
        while self._pieces[1].end_ns <= until_ns - REMEMBERED_NS:
            self._pieces.popleft()

    def mean_milliwatts(self) -> int:
        """Return the mean power of the last second, rounded down."""
        return self._mean(lambda piece: piece.milliwatts)

    def busy_percent(self) -> int:
        """Return the percentage of the last second with work on the GPU, rounded down."""
        return self._mean(lambda piece: 100 * piece.busy)

    def _mean(self, level: Callable[[Piece], int]) -> int:
        since = max(0, self.now_ns - REMEMBERED_NS)
        if self.now_ns == since:
            return level(self._pieces[-1])
        area = sum((b.end_ns - max(a.end_ns, since)) * level(b) for a, b in pairwise(self._pieces))
        return area // (self.now_ns - since)
