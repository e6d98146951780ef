"""The headline figures of the last hour, in memory: what the trends on the page are drawn from."""

from collections.abc import Mapping
from typing import NamedTuple

from goodwatt.model.ledger import Account

HOUR_SECONDS = 3600.0
MOST_MOMENTS = 120
MOST_ACCOUNTS = 8  # those that have a card on the page
_FIRST_SPACING_SECONDS = 3.75  # three doublings lead to an hour over MOST_MOMENTS

Range = tuple[float, float]  # lower and upper bound; the same twice where a figure is exact
Ranges = tuple[Range | None, ...]  # of the headline figures, in their order; None: unknown then


class Point(NamedTuple):
    """A figure at one moment. None is unknown, and a gap in the picture."""

    at_seconds: float
    range: Range | None


class _Moment(NamedTuple):
    at_seconds: float
    figures: Mapping[Account, Ranges]

    def range(self, account: Account, which: int) -> Range | None:
        known = self.figures.get(account)
        return known[which] if known else None


class History:
    """At most MOST_MOMENTS moments, dense at first and thinned as time goes on; nothing older than an hour."""

    def __init__(self) -> None:
        self._moments: list[_Moment] = []
        self._spacing = _FIRST_SPACING_SECONDS

    def due(self, at_seconds: float) -> bool:
        """Whether a moment at this time would be kept."""
        return not self._moments or at_seconds - self._moments[-1].at_seconds >= self._spacing

    def note(self, at_seconds: float, figures: Mapping[Account, Ranges]) -> None:
        """Keep one more moment, later than every other."""
        self._moments.append(_Moment(at_seconds, figures))
        if len(self._moments) > MOST_MOMENTS and self._spacing < HOUR_SECONDS / MOST_MOMENTS:
            self._spacing *= 2
            self._moments = self._moments[::2]
        began = at_seconds - HOUR_SECONDS
        self._moments = [one for one in self._moments[-MOST_MOMENTS:] if one.at_seconds >= began]

    def course(self, account: Account, which: int) -> tuple[Point, ...]:
        """One figure of an account, from the first moment at which it was known on."""
        points = [Point(one.at_seconds, one.range(account, which)) for one in self._moments]
        first = next((i for i, point in enumerate(points) if point.range is not None), len(points))
        return tuple(points[first:])
