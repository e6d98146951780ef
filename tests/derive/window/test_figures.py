"""Efficiency figures: the rows of two published tables, and the cases without a figure."""

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.window import figures
from goodwatt.model.snapshot import TokenRates

# Output tokens/s and watts of all boards, GPUs, J per output token, USD per million at 1.69 USD per GPU-hour.
# The last two are published (ML.ENERGY v3, and the same load priced). The first two are not: they are solved from
# the row, so that a row proves formula and unit, and that no board draws more than its 700 W.
ROWS = [
    pytest.param(1067, 485, 1, 0.455, 0.44, id="8B on 1 H100, batch 8"),
    pytest.param(5159, 614, 1, 0.119, 0.091, id="8B on 1 H100, batch 64"),
    pytest.param(9028, 695, 1, 0.077, 0.052, id="8B on 1 H100, batch 256"),
    pytest.param(469, 1765, 4, 3.76, 4.00, id="70B on 4 H100, batch 8"),
    pytest.param(2504, 1995, 4, 0.797, 0.75, id="70B on 4 H100, batch 64"),
    pytest.param(4941, 2367, 4, 0.479, 0.38, id="70B on 4 H100, batch 256"),
]

rates = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
maybe = st.none() | rates
FIGURES = [
    figures.ratio,
    figures.tokens_per_watt,
    figures.joules_per_token,
    figures.cost_per_million_tokens,
    lambda a, b: figures.good_requests_per_joule(a, 60.0, b),
    lambda a, b: figures.cost_per_good_request(a, 60.0, b),
]


@pytest.mark.parametrize(("tokens", "watts", "gpus", "joules", "dollars"), ROWS)
def test_published_rows(tokens: float, watts: float, gpus: int, joules: float, dollars: float) -> None:
    """Joules per token and cost per million tokens match the published rows."""
    assert watts <= 700 * gpus
    assert figures.joules_per_token(tokens, watts) == pytest.approx(joules, rel=0.01)
    assert figures.tokens_per_watt(tokens, watts) == pytest.approx(1 / joules, rel=0.01)
    assert figures.cost_per_million_tokens(1.69 * gpus / 3600, tokens) == pytest.approx(dollars, rel=0.015)


@pytest.mark.parametrize("figure", FIGURES)
@given(known=rates)
def test_unknown_stays_unknown(figure, known: float) -> None:
    """A figure is None if any rate that it needs is None."""
    assert figure(None, None) is None
    assert figure(None, known) is None
    assert figure(known, None) is None


@pytest.mark.parametrize("figure", FIGURES)
@given(one=maybe, other=maybe)
def test_figures_are_finite_and_not_negative(figure, one: float | None, other: float | None) -> None:
    """For any rates, including 0 and the largest float, a figure is a finite number >= 0 or None."""
    value = figure(one, other)
    assert value is None or (isfinite(value) and value >= 0)


@given(watts=maybe)
def test_no_tokens_no_ratio(watts: float | None) -> None:
    """Without tokens, tokens per watt, joules per token and cost per token are unknown."""
    assert figures.tokens_per_watt(0.0, watts) is None
    assert figures.joules_per_token(0.0, watts) is None
    assert figures.cost_per_million_tokens(watts, 0.0) is None


@given(tokens=rates)
def test_no_energy_no_ratio(tokens: float) -> None:
    """Without energy, tokens per watt and joules per token are unknown."""
    assert figures.tokens_per_watt(tokens, 0.0) is None
    assert figures.joules_per_token(tokens, 0.0) is None


@given(tokens=st.floats(1e-3, 1e9), watts=st.floats(1e-3, 1e9))
def test_tokens_per_watt_and_joules_per_token_are_inverse(tokens: float, watts: float) -> None:
    """Tokens per watt times joules per token is 1."""
    per_watt, per_token = figures.tokens_per_watt(tokens, watts), figures.joules_per_token(tokens, watts)
    assert per_watt is not None
    assert per_token is not None
    assert per_watt * per_token == pytest.approx(1)


def test_total_tokens() -> None:
    """Total tokens are prompt (cached ones included) plus generated, and unknown unless both are known."""
    assert figures.total_tokens_per_second(TokenRates(5.0, 7.0, 6.0)) == 12.0
    assert figures.total_tokens_per_second(TokenRates(5.0, None, 6.0)) is None
    assert figures.total_tokens_per_second(TokenRates(None, 7.0, 6.0)) is None


def test_cost_per_hour() -> None:
    """A GPU at 1.69 per hour costs 1.69 per hour, 0 costs 0, and unknown stays unknown."""
    assert figures.cost_per_hour(1.69 / 3600) == pytest.approx(1.69)
    assert figures.cost_per_hour(0.0) == 0.0
    assert figures.cost_per_hour(None) is None
    assert figures.cost_per_hour(1.7e308) is None


def test_free_tokens_cost_nothing() -> None:
    """A price of 0 is a price: a million tokens then cost 0."""
    assert figures.cost_per_million_tokens(0.0, 100.0) == 0.0


def test_goodput_figures() -> None:
    """240 good requests in 60 s at 600 W and 0.36 per hour: 4 per second, 1 per 150 J, 0.000025 each."""
    assert figures.goodput(240.0, 60.0) == 4.0
    assert figures.good_requests_per_joule(240.0, 60.0, 600.0) == pytest.approx(1 / 150)
    assert figures.cost_per_good_request(240.0, 60.0, 0.36 / 3600) == pytest.approx(0.000025)


def test_no_good_request() -> None:
    """Energy without a good request gives 0 good requests per joule; cost without one gives no cost per request."""
    assert figures.good_requests_per_joule(0.0, 60.0, 600.0) == 0.0
    assert figures.cost_per_good_request(0.0, 60.0, 1.0) is None
    assert figures.goodput(1.0, 0.0) is None
    assert figures.goodput(None, 60.0) is None
