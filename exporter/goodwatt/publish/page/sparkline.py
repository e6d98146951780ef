"""Small SVG charts. Each has a text alternative, or is hidden from screen readers if the number is next to it."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from goodwatt.publish.page.history import Point
from goodwatt.publish.page.html import Element, el
from goodwatt.publish.page.numbers import span

WIDTH, HEIGHT = 200.0, 40.0
_PAD = 3.0
_LEAST_SPREAD = 0.1  # of the highest value, so that small noise does not fill the chart


def bar(share: float) -> Element:
    """Draw a share between 0 and 1."""
    full = el("rect", class_="track", width="100", height="4")
    part = el("rect", class_="part", width=_n(100 * _within(share)), height="4")
    return el("svg", full, part, class_="bar", viewBox="0 0 100 4", preserveAspectRatio="none", aria_hidden="true")


def band(lower: float, upper: float, target: float, verdict: str) -> Element:
    """Draw the lower to upper bound of a share with a mark at the target; equal bounds are a thin line."""
    low, high, mark = (100 * _within(share) for share in (lower, upper, target))
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
    """Draw a figure over time: a line, or the area between its bounds, with gaps. At least one point must be known."""
    known = [one for one in points if one.range is not None]
    scale = _Scale(points, known)
    runs = [list(run) for there, run in groupby(points, lambda one: one.range is not None) if there]
    area = "".join(f"M{scale.path(run, 1)}L{scale.path(run[::-1], 0)}Z" for run in runs) if _parted(known) else ""
    lines = "".join(_lines(scale, runs, bool(area)))
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
    """Return the lowest and highest value as text; None if no point is known."""
    ranges = [one.range for one in points if one.range is not None]
    return span(min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None


def _parted(known: Iterable[Point]) -> bool:
    return any(one.range is not None and one.range[0] != one.range[1] for one in known)


def _lines(scale: "_Scale", runs: Iterable[Sequence[Point]], both: bool) -> Iterable[str]:
    for run in runs:
        yield f"M{scale.path(run, 1)}h0"
        if both:
            yield f"M{scale.path(run, 0)}h0"


class _Scale:
    """Maps points to coordinates. The y axis spans the values, and at least a tenth of the highest."""

    def __init__(self, points: Sequence[Point], known: Sequence[Point]) -> None:
        self._began = points[0].at_seconds
        self._seconds = (points[-1].at_seconds - self._began) or 1.0
        ranges = [one.range for one in known if one.range is not None]
        self._low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        self._spread = max(high - self._low, _LEAST_SPREAD * abs(high)) or 1.0
        self._low -= (self._spread - (high - self._low)) / 2

    def path(self, run: Sequence[Point], which: int) -> str:
        """Return the coordinates of one bound along consecutive known points."""
        return "L".join(f"{self._x(one)} {self._y(one.range[which])}" for one in run if one.range is not None)

    def _x(self, one: Point) -> str:
        return _n(_PAD + (WIDTH - 2 * _PAD) * (one.at_seconds - self._began) / self._seconds)

    def _y(self, value: float) -> str:
        return _n(HEIGHT - _PAD - (HEIGHT - 2 * _PAD) * (value - self._low) / self._spread)


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
