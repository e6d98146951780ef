"""Deduplication of spans."""

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.model.request import Dropped
from goodwatt.sources.otlp.recent_spans import RecentSpans


def key(number: int) -> bytes:
    return number.to_bytes(24, "big")


def test_a_repeat_is_duplicate_then_late() -> None:
    """A span is a duplicate while remembered; once forgotten, any span that old is late."""
    recent = RecentSpans(most=10, generation_seconds=100.0)
    assert recent.drop_reason(key(0), 0.0) is None
    recent.remember(key(0), 1.0)
    recent.remember(key(1), 101.0)
    assert recent.drop_reason(key(0), 0.5) is Dropped.DUPLICATE
    assert recent.drop_reason(key(9), -1e9) is None
    recent.remember(key(2), 202.0)
    assert recent.drop_reason(key(0), 0.5) is Dropped.LATE
    assert recent.drop_reason(key(1), 100.5) is Dropped.DUPLICATE
    assert recent.drop_reason(key(9), 101.5) is None


def test_memory_is_bounded_whatever_the_clock_does() -> None:
    """At most two generations of keys are kept, even with a stopped or backward clock."""
    for step in (0.0, -1.0):
        recent = RecentSpans(most=50)
        for number in range(1000):
            recent.remember(key(number), 1e9 + step * number)
        assert len(recent._young) + len(recent._old) <= 100


def test_a_clock_set_back_makes_no_span_late() -> None:
    """Spans that end by the new clock are not late because the old one was ahead."""
    recent = RecentSpans(most=1)
    for number in range(3):
        recent.remember(key(number), 1000.0 + number)
    assert recent.drop_reason(key(9), 500.0) is Dropped.LATE
    recent.remember(key(3), 500.0)
    recent.remember(key(4), 400.0)
    assert recent.drop_reason(key(9), 500.5) is None


@given(
    arrivals=st.lists(st.tuples(st.integers(0, 20), st.floats(0, 50)), max_size=60),
    most=st.integers(1, 5),
    seconds=st.sampled_from([1.0, 10.0]),
)
def test_nothing_is_counted_twice(arrivals: list[tuple[int, float]], most: int, seconds: float) -> None:
    """With agreeing clocks, a span sent again at any later time is never counted again."""
    recent, counted, now = RecentSpans(most, seconds), dict[int, float](), 0.0
    for number, later in arrivals:
        now += later
        ended = counted.get(number, now)
        if recent.drop_reason(key(number), ended) is None:
            assert number not in counted
            counted[number] = ended
            recent.remember(key(number), now)
