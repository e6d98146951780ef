"""Burn rate factors fit the objective, and unreachable ones are recognized."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.config.advice.config import config_advice
from goodwatt.config.load import parse
from goodwatt.model.alerting import BurnFactors
from goodwatt.rules.burn_rate import BURN_WINDOWS, bad_ratio_limit, can_fire, effective_factor, max_burn_rate
from goodwatt.rules.promql import duration

SLO = "slos: [{{name: a, ttft_seconds: 1, objective_ratio: {}}}]\n"


@given(st.floats(0.001, 0.99999))
def test_every_alert_can_fire_at_every_objective(objective: float) -> None:
    """At any objective, some share of bad requests fires every alert, and it is at least the allowed share."""
    for pair in BURN_WINDOWS:
        share = bad_ratio_limit(pair, BurnFactors(), objective)
        assert (1 - objective) * (1 - 1e-6) <= share < 1
        assert can_fire(effective_factor(pair, BurnFactors(), objective), objective)
        assert effective_factor(pair, BurnFactors(), objective) <= pair.factor * (1 + 1e-6)


@given(st.floats(0.001, 0.99999))
def test_longer_windows_need_a_smaller_share(objective: float) -> None:
    """A longer window never needs a larger share of bad requests."""
    shares = [bad_ratio_limit(pair, BurnFactors(), objective) for pair in BURN_WINDOWS]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("objective", "shares"),
    [
        (0.9, [0.9, 0.6, 0.3, 0.1]),
        (0.95, [0.72, 0.3, 0.15, 0.05]),
        (0.99, [0.144, 0.06, 0.03, 0.01]),
        (0.999, [0.0144, 0.006, 0.003, 0.001]),
        (0.5, [0.9, 0.9, 0.9, 0.5]),
    ],
)
def test_shares_by_objective(objective: float, shares: list[float]) -> None:
    """The standard factors apply where they can be reached; otherwise 90 % bad requests suffice."""
    assert [bad_ratio_limit(pair, BurnFactors(), objective) for pair in BURN_WINDOWS] == shares


def test_the_largest_burn_is_never_exceeded() -> None:
    """At 90 % a budget burns at most 10 times as fast, so a factor of 10 never fires and 9.99 can."""
    assert max_burn_rate(0.9) == 10
    assert not can_fire(14.4, 0.9)
    assert not can_fire(10, 0.9)
    assert can_fire(9.99, 0.9)


def test_a_configured_factor_is_used_unchanged() -> None:
    """Even one that requires more than 90 % bad requests."""
    assert bad_ratio_limit(BURN_WINDOWS[0], BurnFactors(over_1h=9.9), 0.9) == 0.99


def test_check_reports_lowered_factors() -> None:
    """`check` reports factors only where the standard ones do not fit and none is configured."""
    assert config_advice(parse(SLO.format(0.9))) == (
        "slo a: at an objective of 0.9 a budget burns at most 10 times as fast as allowed; its alerts use the factors "
        "9 instead of 14.4",
    )
    assert config_advice(parse(SLO.format(0.95))) == ()
    assert config_advice(parse(SLO.format(0.9) + "alerts: {burn_1h_factor: 9.5}\n")) == ()


@pytest.mark.parametrize(
    ("seconds", "text"), [(300, "5m"), (5400, "1h30m"), (86400, "1d"), (0.2, "1s"), (90061, "1d1h1m1s"), (59.5, "1m")]
)
def test_durations(seconds: float, text: str) -> None:
    """Durations use Prometheus's notation and are rounded up."""
    assert duration(seconds) == text
