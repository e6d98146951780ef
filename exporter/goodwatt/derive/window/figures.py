"""The headline figures, computed from rates. None in, None out; a ratio over 0 is None too."""

from math import isfinite

from goodwatt.model.snapshot import TokenRates
from goodwatt.model.tariff import SECONDS_PER_HOUR

TOKENS_PER_MILLION = 1e6


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where either is unknown, the whole is 0, or the quotient overflows."""
    if part is None or whole is None or whole == 0:
        return None
    return _finite(part / whole)


def total_tokens_per_second(tokens: TokenRates) -> float | None:
    """Prompt tokens (cached ones included) plus generated tokens; None unless the engine counts both."""
    if tokens.generated is None or tokens.prompt is None:
        return None
    return tokens.generated + tokens.prompt


def tokens_per_watt(tokens_per_second: float | None, watts: float | None) -> float | None:
    """(tokens/s)/W, which is tokens per joule; None without tokens or without energy."""
    return ratio(tokens_per_second, watts) if tokens_per_second else None


def joules_per_token(tokens_per_second: float | None, watts: float | None) -> float | None:
    """The inverse of `tokens_per_watt`; None without tokens or without energy."""
    return ratio(watts, tokens_per_second) if watts else None


def cost_per_million_tokens(cost_per_second: float | None, tokens_per_second: float | None) -> float | None:
    """Money for a million tokens; None without tokens, 0 at a price of 0."""
    each = ratio(cost_per_second, tokens_per_second)
    return None if each is None else _finite(each * TOKENS_PER_MILLION)


def cost_per_hour(cost_per_second: float | None) -> float | None:
    """Money for an hour at the current rate."""
    return None if cost_per_second is None else _finite(cost_per_second * SECONDS_PER_HOUR)


def goodput(good: float | None, seconds: float) -> float | None:
    """Good requests per second over a window of `seconds`."""
    return ratio(good, seconds)


def good_requests_per_joule(good: float | None, seconds: float, watts: float | None) -> float | None:
    """Good requests per joule of the same window; 0 where energy was used and no request was good."""
    return ratio(goodput(good, seconds), watts)


def cost_per_good_request(good: float | None, seconds: float, cost_per_second: float | None) -> float | None:
    """Money for one good request; None without good requests, however much was spent.

    The upper bound of good requests gives the lower bound of this figure.
    """
    return ratio(cost_per_second, goodput(good, seconds))


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
