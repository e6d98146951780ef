"""The last hour of the headline figures, kept in memory for the trend lines."""

from collections.abc import Mapping
from typing import NamedTuple

from goodwatt.model.ledger import Account

HOUR_SECONDS = 3600.0
MAX_POINTS = 120
MAX_CARDS = 8  # only accounts with a card on the page are kept
_FIRST_SPACING_SECONDS = 3.75  # doubled three times, MAX_POINTS of them span an hour

Range = tuple[float, float]  # (lower, upper) bound, equal if the figure is exact
Ranges = tuple[Range | None, ...]  # of the headline figures in order; None: unknown


class Point(NamedTuple):
    """A figure at one time. An unknown `range` is None and leaves a gap in the trend line."""

    at_seconds: float
    range: Range | None


class _Moment(NamedTuple):
    at_seconds: float
    figures: Mapping[Account, Ranges]

    def range(self, account: Account, which: int) -> Range | None:
        known = self.figures.get(account)
        return known[which] if known else None


class History:
    """Keeps at most MAX_POINTS points of the last hour; it starts with dense points and thins them out over time."""

    def __init__(self) -> None:
        self._moments: list[_Moment] = []
        self._spacing = _FIRST_SPACING_SECONDS

    def due(self, at_seconds: float) -> bool:
        """Whether enough time has passed since the last point to add another."""
        return not self._moments or at_seconds - self._moments[-1].at_seconds >= self._spacing

    def append(self, at_seconds: float, figures: Mapping[Account, Ranges]) -> None:
        """Add the figures at `at_seconds`, which must be later than every earlier point."""
        self._moments.append(_Moment(at_seconds, figures))
        if len(self._moments) > MAX_POINTS and self._spacing < HOUR_SECONDS / MAX_POINTS:
            self._spacing *= 2
            self._moments = self._moments[::2]
        began = at_seconds - HOUR_SECONDS
        self._moments = [one for one in self._moments[-MAX_POINTS:] if one.at_seconds >= began]

    def trend_of(self, account: Account, which: int) -> tuple[Point, ...]:
        """Return one figure of an account over time, starting at its first known value."""
        points = [Point(one.at_seconds, one.range(account, which)) for one in self._moments]
        first = next((i for i, point in enumerate(points) if point.range is not None), len(points))
        return tuple(points[first:])
