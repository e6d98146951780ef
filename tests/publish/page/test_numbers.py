"""Numbers on the front page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.publish.page.numbers import ago, percent, short, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0000123, "1.23e-05"),
        (0.0911, "0.0911"),
        (0.4, "0.4"),
        (8.403, "8.4"),
        (61.25, "61.2"),
        (99.96, "100"),
        (614, "614"),
        (999.7, "1,000"),
        (5159, "5,160"),
        (13_520_000, "13,500,000"),
        (-2.5, "-2.5"),
    ],
)
def test_three_digits(value: float, text: str) -> None:
    """A number has three significant digits and no empty decimals."""
    assert short(value) == text


@given(value=st.floats(min_value=1e-4, max_value=1e15))
def test_within_half_a_percent(value: float) -> None:
    """What is shown is within half a percent of what is meant."""
    assert float(short(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_spans() -> None:
    """Bounds that read the same are one number."""
    assert span(3.2, 4.1) == "3.2 to 4.1"
    assert span(4.1, 4.1001) == "4.1"
    assert percent(0.816, 0.97) == "81.6 to 97 %"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.99, "99 %"),
        (0.994, "99.4 %"),
        (0.999, "99.9 %"),
        (0.9995, "99.95 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.999961, "99.9961 %"),
        (1.0, "100 %"),
        (1.2, "120 %"),
        (0.0, "0 %"),
    ],
)
def test_what_is_not_all_is_not_100_percent(share: float, text: str) -> None:
    """An objective of 99.95 % and a share of 99.99 % are written as such: one bad request in ten thousand is seen."""
    assert percent(share, share) == text


@given(share=st.floats(min_value=0, max_value=1 - 1e-8))
def test_less_than_all_reads_as_less(share: float) -> None:
    """No share below one is rounded up to 100 %, and each is within half a percent of what is meant."""
    told = float(percent(share, share).removesuffix(" %"))
    assert told < 100
    assert told == pytest.approx(share * 100, rel=0.0051)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0 s ago"), (4.2, "4.2 s ago"), (180, "3 min ago"), (9000, "2 h ago")]
)
def test_ages(seconds: float, text: str) -> None:
    """An age is in seconds, then minutes, then hours."""
    assert ago(seconds) == text
