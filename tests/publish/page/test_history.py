"""The history behind the trends of the page, and how trends are drawn."""

import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodwatt.model.ledger import Account
from goodwatt.model.snapshot import Live, TokenRates
from goodwatt.publish.page.cards import record_headlines
from goodwatt.publish.page.history import HOUR_SECONDS, MAX_CARDS, MAX_POINTS, History, Point
from goodwatt.publish.page.html import Element
from goodwatt.publish.page.live import live_nodes
from goodwatt.publish.page.sparkline import HEIGHT, WIDTH, band, bar, extremes, trend
from tests.fakes.snapshots import MODEL, snapshot
from tests.publish.page.test_landing import ACCOUNT
from tests.publish.pages import small
from tests.publish.serving import ABOUT

ONE, OTHER = Account("a", "m"), Account("b", "m")


def filled(seconds: float, interval: float) -> History:
    history = History()
    for tick in range(int(seconds / interval)):
        if history.due(tick * interval):
            history.append(tick * interval, {ONE: ((tick, tick + 1.0), None)})
    return history


@pytest.mark.parametrize("interval", [0.2, 1.0, 5.0, 60.0])
def test_the_last_hour_in_few_moments(interval: float) -> None:
    """After two hours at any interval the history covers the last hour up to now, and is bounded."""
    points = filled(2 * HOUR_SECONDS, interval).trend_of(ONE, 0)
    assert len(points) <= MAX_POINTS
    covered = points[-1].at_seconds - points[0].at_seconds
    assert 0.9 * HOUR_SECONDS <= covered <= HOUR_SECONDS
    assert 2 * HOUR_SECONDS - points[-1].at_seconds <= max(45.0, interval)
    gaps = [later.at_seconds - earlier.at_seconds for earlier, later in itertools.pairwise(points)]
    assert max(gaps) <= max(45.0, interval)


def test_the_first_minute_is_already_seen() -> None:
    """At the usual interval a minute gives a dozen points, and none of them is interpolated."""
    points = filled(60.0, 5.0).trend_of(ONE, 0)
    assert [point.at_seconds for point in points] == [tick * 5.0 for tick in range(12)]
    assert points[3].range == (3, 4.0)


@pytest.mark.parametrize("minutes", [12, 25, 40, 55])
def test_the_beginning_is_thinned_and_not_forgotten(minutes: int) -> None:
    """Within the first hour the history always begins at the start."""
    points = filled(minutes * 60.0, 5.0).trend_of(ONE, 0)
    assert points[0].at_seconds == 0.0
    assert points[-1].at_seconds >= minutes * 60.0 - 45.0
    assert MAX_POINTS / 3 < len(points) <= MAX_POINTS


@given(st.lists(st.floats(0.01, 900.0), max_size=400))
def test_it_is_bounded_whatever_the_ticks(pauses: list[float]) -> None:
    """At any tick rate there are at most MAX_POINTS points, in order, none older than an hour."""
    history, now = History(), 0.0
    for pause in pauses:
        now += pause
        if history.due(now):
            history.append(now, {ONE: ((1.0, 1.0),)})
    times = [point.at_seconds for point in history.trend_of(ONE, 0)]
    assert len(times) <= MAX_POINTS
    assert times == sorted(set(times))
    assert not times or times[-1] - times[0] <= HOUR_SECONDS


def test_unknown_is_a_gap() -> None:
    """A figure that was unknown for a while has a gap; the trend starts at its first known value."""
    history = History()
    for at, known in enumerate([None, (1.0, 1.0), None, (2.0, 3.0)]):
        history.append(10.0 * at, {OTHER: ((5.0, 5.0),)} if at == 2 else {ONE: (known,)})
    assert history.trend_of(ONE, 0) == (Point(10.0, (1.0, 1.0)), Point(20.0, None), Point(30.0, (2.0, 3.0)))
    assert history.trend_of(Account("c", "m"), 0) == ()


def test_accounts_with_a_card_have_a_history() -> None:
    """Of many accounts the first few are kept, with all three figures; the same snapshot again adds nothing."""
    history, s = History(), snapshot(1, [f"s{number}" for number in range(20)], ticks=3)
    record_headlines(history, s)
    record_headlines(history, s)
    assert [len(history.trend_of(Account(f"s{n}", MODEL), 0)) for n in (0, 7)] == [
        1,
        1,
    ]
    assert not history.trend_of(Account(f"s{MAX_CARDS}", MODEL), 0)
    history = History()
    record_headlines(history, small())
    (of_tokens, of_cost, goodput) = (history.trend_of(Account("vllm-0", "tiny"), which)[0].range for which in range(3))
    assert of_tokens is not None and of_tokens[0] == of_tokens[1] == pytest.approx(4.2, abs=0.01)
    assert of_cost is not None and of_cost[0] == pytest.approx(0.182, abs=0.001)
    assert goodput == pytest.approx((19.6, 19.8))


rate = st.none() | st.floats(0, 1.7e308, allow_nan=False)


@settings(deadline=None)
@given(st.builds(TokenRates, rate, rate, rate), rate, rate, rate)
def test_no_figure_stops_a_tick(
    tokens: TokenRates, watts: float | None, busy: float | None, cost: float | None
) -> None:
    """Any rates of a model can be recorded and displayed."""
    s = replace(
        small(), live={ACCOUNT: Live(seconds=60.0, tokens=tokens, watts=watts, busy_watts=busy, cost_per_second=cost)}
    )
    history = History()
    for later in (0.0, 60.0):
        record_headlines(history, replace(s, at_seconds=s.at_seconds + later))
    assert live_nodes(s, ABOUT, history)


def path(drawing: Element, css: str) -> str | None:
    return next((one.attributes["d"] for one in drawing.children if _is(one, css)), None)


def _is(node: object, css: str) -> bool:
    return isinstance(node, Element) and node.attributes.get("class") == css


def points(*ranges: tuple[float, float] | None) -> list[Point]:
    return [Point(10.0 * at, each) for at, each in enumerate(ranges)]


def test_an_exact_course_is_one_line() -> None:
    """A figure without bounds is a line from left to right, higher values further up."""
    drawing = trend(points((1, 1), (2, 2), (3, 3)), "x")
    assert path(drawing, "area") is None
    assert path(drawing, "line") == "M3 37L100 20L197 3h0"
    assert (drawing.attributes["role"], drawing.attributes["aria-label"]) == ("img", "x")


def test_bounds_are_an_area() -> None:
    """A figure with bounds is the area between them, with a line on either side."""
    drawing = trend(points((1, 3), (1, 2)), "x")
    assert path(drawing, "area") == "M3 3L197 20L197 37L3 37Z"
    assert path(drawing, "line") == "M3 3L197 20h0M3 37L197 37h0"


def test_gaps_are_not_bridged() -> None:
    """The line is interrupted where a figure was unknown; a single point is a dot."""
    line = path(trend(points((1, 1), (2, 2), None, (2, 2), None, (1, 1)), "x"), "line")
    assert line is not None and line.count("M") == line.count("h0") == 3


def test_noise_is_not_blown_up() -> None:
    """A change of one percent stays near the middle; a constant, even zero, is a flat line there."""
    for low, high in ((100.0, 101.0), (5.0, 5.0), (0.0, 0.0)):
        line = path(trend(points((low, low), (high, high)), "x"), "line")
        heights = [float(y) for y in re.findall(r" ([\d.]+)", line or "")]
        assert len(heights) == 2
        assert all(abs(y - HEIGHT / 2) <= HEIGHT / 15 or high == 0 for y in heights)


finite = st.floats(0, 1e300, allow_nan=False)


@given(st.lists(st.none() | st.tuples(finite, finite).map(lambda two: (min(two), max(two))), min_size=2, max_size=30))
def test_every_course_stays_in_the_picture(ranges: list[tuple[float, float] | None]) -> None:
    """Whatever the values, the drawing stays within its frame."""
    known = [one for one in ranges if one is not None]
    if not known:
        assert extremes(points(*ranges)) is None
        return
    drawing = trend(points(*ranges), "x")
    for one in drawing.children:
        assert isinstance(one, Element)
        pairs = re.findall(r"([-\d.a-z]+) ([-\d.a-z]+)", re.sub("[MLZ]|h0", " ", one.attributes["d"]))
        assert pairs
        assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in pairs)


def test_extremes_cover_both_bounds() -> None:
    """The text alternative has the lowest lower and the highest upper bound."""
    assert extremes(points((1, 3), None, (0.5, 2))) == "0.5 to 3"


@pytest.mark.parametrize(
    ("lower", "upper", "left", "width"),
    [(0.2, 0.6, 20, 40), (0.5, 0.5, 50, 2), (1.0, 1.0, 98, 2), (0.0, 1.0, 0, 100), (-1.0, 2.0, 0, 100)],
)
def test_a_band_reaches_from_bound_to_bound(lower: float, upper: float, left: float, width: float) -> None:
    """The band begins at the lower bound and ends at the upper one; an exact share is still visible."""
    drawing = band(lower, upper, 0.95, "up")
    _, part, mark = (one.attributes for one in drawing.children if isinstance(one, Element))
    assert (float(part["x"]), float(part["width"])) == (left, width)
    assert float(mark["x"]) == 95
    assert drawing.attributes["aria-hidden"] == "true"


@pytest.mark.parametrize(("share", "width"), [(0.5, "50"), (1.5, "100"), (-1.0, "0")])
def test_a_bar_is_never_longer_than_its_track(share: float, width: str) -> None:
    """A share beyond the whole, as power above its limit, fills the bar exactly."""
    _, part = (one.attributes for one in bar(share).children if isinstance(one, Element))
    assert part["width"] == width
