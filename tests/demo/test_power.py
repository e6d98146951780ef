from hypothesis import given
from hypothesis import strategies as st

from goodwatt.demo.power import PowerTrace
from tests.demo.builders import SECOND

draws = st.lists(st.tuples(st.integers(1, 2 * SECOND), st.integers(0, 700_000), st.booleans()), max_size=30)


@given(draws, st.integers(1, 5))
def test_energy_is_the_exact_integral_however_it_is_cut(draws: list[tuple[int, int, bool]], parts: int) -> None:
    """Adding a period in one piece or in several gives exactly the same joules, mean and busy share."""
    whole, cut = PowerTrace(1), PowerTrace(1)
    at, area = 0, 0
    for duration, milliwatts, busy in draws:
        for part in range(1, parts + 1):
            cut.draw(at + duration * part // parts, milliwatts, busy=busy)
        at, area = at + duration, area + duration * milliwatts
        whole.draw(at, milliwatts, busy=busy)
    assert whole.picojoules == cut.picojoules == area
    assert whole.mean_milliwatts() == cut.mean_milliwatts()
    assert whole.busy_percent() == cut.busy_percent()


def test_one_watt_for_one_second_is_a_thousand_millijoules() -> None:
    """The counter is in millijoules."""
    trace = PowerTrace(0)
    trace.draw(SECOND, 1000, busy=True)
    assert trace.millijoules == 1000


def test_the_mean_covers_the_last_second_only() -> None:
    """The mean and the busy share cover the last second only."""
    trace = PowerTrace(100_000)
    trace.draw(5 * SECOND, 700_000, busy=True)
    trace.draw(5 * SECOND + 3 * SECOND // 4, 100_000, busy=False)
    assert (trace.mean_milliwatts(), trace.busy_percent()) == (250_000, 25)
    trace.draw(9 * SECOND, 100_000, busy=False)
    assert (trace.mean_milliwatts(), trace.busy_percent()) == (100_000, 0)


def test_before_anything_was_drawn_the_mean_is_the_idle_draw() -> None:
    """At the start a GPU reports idle power and no utilization."""
    trace = PowerTrace(118_000)
    assert (trace.mean_milliwatts(), trace.busy_percent(), trace.millijoules) == (118_000, 0, 0)


def test_a_moment_in_the_past_draws_nothing() -> None:
    """Adding power up to a time in the past changes nothing."""
    trace = PowerTrace(0)
    trace.draw(SECOND, 1000, busy=True)
    trace.draw(SECOND // 2, 9000, busy=True)
    assert (trace.now_ns, trace.millijoules) == (SECOND, 1000)


def test_seconds_of_mean_power_add_up_to_the_energy() -> None:
    """Means read once a second add up to the counter, within the rounding of each read."""
    total = PowerTrace(0)
    means = 0
    for step in range(1, 1001):
        total.draw(step * 10_000_000, 100_000 + step * 500, busy=True)
        means += total.mean_milliwatts() if step % 100 == 0 else 0
    assert abs(means - total.millijoules) <= 10
