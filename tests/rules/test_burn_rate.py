"""Burn factors: what fits an objective, and what can never be reached."""

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
    """Whatever the objective: bad requests enough to fire are possible, and no fewer than the objective allows."""
    for pair in BURN_WINDOWS:
        share = bad_ratio_limit(pair, BurnFactors(), objective)
        assert (1 - objective) * (1 - 1e-6) <= share < 1
        assert can_fire(effective_factor(pair, BurnFactors(), objective), objective)
        assert effective_factor(pair, BurnFactors(), objective) <= pair.factor * (1 + 1e-6)


@given(st.floats(0.001, 0.99999))
def test_a_longer_window_needs_no_more(objective: float) -> None:
    """From pair to pair the share that fires does not grow."""
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
    """The usual factors wherever they can be reached, 90 % bad requests where they ask for more."""
    assert [bad_ratio_limit(pair, BurnFactors(), objective) for pair in BURN_WINDOWS] == shares


def test_the_largest_burn_is_never_exceeded() -> None:
    """At 90 % a budget burns at most 10 times as fast, so 10 itself never fires and 9.99 does."""
    assert max_burn_rate(0.9) == 10
    assert not can_fire(14.4, 0.9)
    assert not can_fire(10, 0.9)
    assert can_fire(9.99, 0.9)


def test_an_explicit_factor_is_taken_as_it_is() -> None:
    """Also one that asks for more than 90 % bad requests."""
    assert bad_ratio_limit(BURN_WINDOWS[0], BurnFactors(over_1h=9.9), 0.9) == 0.99


def test_check_says_which_factors_are_used() -> None:
    """Where the usual ones do not fit, and nowhere else; an explicit factor is the operator's own word."""
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
    """As Prometheus writes them, never shorter than asked for."""
    assert duration(seconds) == text
