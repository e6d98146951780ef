"""Energy integrated from power samples."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.energy.power_integral import GAP_LIMIT_SECONDS, PowerIntegral, extend_integral

samples = st.lists(st.tuples(st.floats(0, 4), st.integers(0, 1_500_000)), max_size=40)


def walked(steps):
    """Return the integral over steps of (seconds since the last sample, milliwatts), with the time of each sample."""
    integral, at, seen = PowerIntegral(), 100.0, []
    for elapsed, milliwatts in steps:
        at += elapsed
        integral = extend_integral(integral, at, milliwatts)
        seen.append((at, milliwatts, integral))
    return integral, seen


def test_constant_power_gives_power_times_time():
    """Constant power over t seconds counts exactly power x t, at any sampling rate."""
    for samples_per_second in (5, 7, 10, 1000):
        integral, _ = walked([(1 / samples_per_second, 400_000)] * (10 * samples_per_second + 1))
        assert abs(integral.millijoules - 4_000_000) <= 1


def test_a_ramp_is_exact():
    """A linear ramp of power counts as its exact triangle."""
    integral, _ = walked([(0, 0), (2, 100_000)])
    assert integral.millijoules == 100_000


def test_first_sample_adds_nothing():
    """One sample alone adds 0."""
    assert extend_integral(PowerIntegral(), 5.0, 700_000).millijoules == 0


def test_a_gap_adds_nothing_and_is_counted():
    """An interval above the gap limit adds nothing and is counted; integration continues from its end."""
    integral, _ = walked([(0, 400_000), (GAP_LIMIT_SECONDS + 0.001, 400_000), (1, 400_000)])
    assert (integral.millijoules, integral.gaps) == (400_000, 1)


def test_the_gap_limit_itself_is_bridged():
    """An interval of exactly the gap limit counts."""
    integral, _ = walked([(0, 400_000), (GAP_LIMIT_SECONDS, 400_000)])
    assert (integral.millijoules, integral.gaps) == (1_200_000, 0)


def test_an_older_sample_is_ignored():
    """A sample older than the last one changes nothing."""
    integral, _ = walked([(0, 400_000), (1, 400_000)])
    assert extend_integral(integral, 100.5, 900_000) == integral


def test_two_samples_at_one_time_keep_the_later_power():
    """Of two samples with the same time the later one starts the next trapezoid."""
    integral, _ = walked([(0, 400_000), (0, 100_000), (1, 100_000)])
    assert integral.millijoules == 100_000


@given(samples)
def test_the_integral_never_falls(steps):
    """No sequence of samples makes energy fall."""
    counts = [integral.millijoules for _, _, integral in walked(steps)[1]]
    assert counts == sorted(counts)


@given(samples)
def test_fractions_are_carried_exactly(steps):
    """Energy plus the carried fraction is the exact sum of the trapezoids over nanosecond times."""
    integral, seen = walked(steps)
    exact = Fraction(0)
    for (before, low, _), (after, high, _) in pairwise(seen):
        nanoseconds = round(after * 1e9) - round(before * 1e9)
        if nanoseconds <= GAP_LIMIT_SECONDS * 1e9:
            exact += Fraction((low + high) * nanoseconds, 2_000_000_000)
    assert integral.millijoules + Fraction(integral.parts, 2_000_000_000) == exact
    assert 0 <= integral.parts < 2_000_000_000
