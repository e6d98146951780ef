"""The draw of one GPU over time: its exact integral, and what the last second looked like."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

PICOJOULES_A_MILLIJOULE = 1_000_000_000
REMEMBERED_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of constant draw up to `end_ns`; it starts where the one before it ends."""

    end_ns: int
    milliwatts: int
    busy: bool


class PowerTrace:
    """Energy as the exact integral of a piecewise constant power: 1 mW x 1 ns is 1 pJ.

    `mean_milliwatts` and `busy_percent` look back over the last second, as an H100 does, or over what there is.
    """

    def __init__(self, idle_milliwatts: int) -> None:
        self.now_ns = 0
        self.picojoules = 0
        self._pieces = deque([Piece(0, idle_milliwatts, busy=False)])

    @property
    def millijoules(self) -> int:
        """Energy drawn so far, rounded down."""
        return self.picojoules // PICOJOULES_A_MILLIJOULE

    def draw(self, until_ns: int, milliwatts: int, *, busy: bool) -> None:
        """Draw constant power from now to `until_ns`; a moment in the past changes nothing."""
        if until_ns <= self.now_ns:
            return
        self.picojoules += (until_ns - self.now_ns) * milliwatts
        self.now_ns = until_ns
        self._pieces.append(Piece(until_ns, milliwatts, busy))
        while self._pieces[1].end_ns <= until_ns - REMEMBERED_NS:
            self._pieces.popleft()

    def mean_milliwatts(self) -> int:
        """Mean draw of the last second, rounded down."""
        return self._mean(lambda piece: piece.milliwatts)

    def busy_percent(self) -> int:
        """Share of the last second with work on the GPU, 0..100, rounded down."""
        return self._mean(lambda piece: 100 * piece.busy)

    def _mean(self, level: Callable[[Piece], int]) -> int:
        since = max(0, self.now_ns - REMEMBERED_NS)
        if self.now_ns == since:
            return level(self._pieces[-1])
        area = sum((b.end_ns - max(a.end_ns, since)) * level(b) for a, b in pairwise(self._pieces))
        return area // (self.now_ns - since)
