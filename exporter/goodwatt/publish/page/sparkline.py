"""Small drawings beside the numbers. Each says in words what it shows, or is hidden where a number says it already."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from goodwatt.publish.page.history import Point
from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.numbers import span

WIDTH, HEIGHT = 200.0, 40.0
_PAD = 3.0
_LEAST_SPREAD = 0.1  # of the highest value: noise below this does not fill the picture


def bar(share: float) -> Element:
    """A share of a whole, 0 to 1, under the number that says the same."""
    full = el("rect", class_="track", width="100", height="4")
    part = el("rect", class_="part", width=_n(100 * _within(share)), height="4")
    return el("svg", full, part, class_="bar", viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true")


def band(lower: float, upper: float, wanted: float, verdict: str) -> Element:
    """From lower to upper bound of a share, with a mark at what is wanted; a thin line where it is exact."""
    low, high, mark = (100 * _within(share) for share in (lower, upper, wanted))
    left = min(low, 98.0)
    return el(
        "svg",
        el("rect", class_="track", y="3", width="100", height="6"),
        el("rect", class_="part", x=_n(left), y="3", width=_n(max(high - left, 2.0)), height="6"),
        el("rect", class_="mark", x=_n(min(mark, 99.4)), width="0.6", height="12"),
        class_=f"band {verdict}",
        viewBox="0 0 100 12",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def trend(points: Sequence[Point], label: str) -> Element:
    """The course of a figure over time: a line, or the area between its bounds. Gaps stay gaps. One point is known."""
    known = [one for one in points if one.range is not None]
    place = _Places(points, known)
    runs = [list(run) for there, run in groupby(points, lambda one: one.range is not None) if there]
    area = "".join(f"M{place.path(run, 1)}L{place.path(run[::-1], 0)}Z" for run in runs) if _parted(known) else ""
    lines = "".join(_lines(place, runs, bool(area)))
    return el(
        "svg",
        el("path", class_="area", d=area) if area else None,
        el("path", class_="line", d=lines),
        class_="trend",
        viewBox=f"0 0 {_n(WIDTH)} {_n(HEIGHT)}",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def extremes(points: Iterable[Point]) -> str | None:
    """The lowest and the highest value, as people read them; None without any."""
    ranges = [one.range for one in points if one.range is not None]
    return span(min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def _parted(known: Iterable[Point]) -> bool:
    return any(one.range is not None and one.range[0] != one.range[1] for one in known)


def _lines(place: "_Places", runs: Iterable[Sequence[Point]], both: bool) -> Iterable[str]:
    for run in runs:
        yield f"M{place.path(run, 1)}h0"
        if both:
            yield f"M{place.path(run, 0)}h0"


class _Places:
    """Where on the picture a point is. The picture shows the spread of the values, and never less than a tenth."""

    def __init__(self, points: Sequence[Point], known: Sequence[Point]) -> None:
        self._began = points[0].at_seconds
        self._seconds = (points[-1].at_seconds - self._began) or 1.0
        ranges = [one.range for one in known if one.range is not None]
        self._low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        self._spread = max(high - self._low, _LEAST_SPREAD * abs(high)) or 1.0
        self._low -= (self._spread - (high - self._low)) / 2

    def path(self, run: Sequence[Point], which: int) -> str:
        """Coordinates of one bound along a run of points that are known."""
        return "L".join(f"{self._x(one)} {self._y(one.range[which])}" for one in run if one.range is not None)

    def _x(self, one: Point) -> str:
        return _n(_PAD + (WIDTH - 2 * _PAD) * (one.at_seconds - self._began) / self._seconds)

    def _y(self, value: float) -> str:
        return _n(HEIGHT - _PAD - (HEIGHT - 2 * _PAD) * (value - self._low) / self._spread)


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
