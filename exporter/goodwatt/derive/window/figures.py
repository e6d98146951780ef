"""The figures that goodwatt exists for, as arithmetic on rates. None in, None out; a ratio over nothing is None too."""

from math import isfinite

from goodwatt.model.snapshot import TokenRates

SECONDS_PER_HOUR = 3600.0
TOKENS_PER_MILLION = 1e6


def ratio(part: float | None, whole: float | None) -> float | None:
    """part / whole; None where either is unknown, the whole is 0, or the quotient is beyond what a float holds."""
    if part is None or whole is None or whole == 0:
        return None
    return _finite(part / whole)


def total_tokens_per_second(tokens: TokenRates) -> float | None:
    """Prompt (cached ones included) and generated tokens; None unless the engine counts both."""
    if tokens.generated is None or tokens.prompt is None:
        return None
    return tokens.generated + tokens.prompt


def tokens_per_watt(tokens_per_second: float | None, watts: float | None) -> float | None:
    """(tokens/s)/W, which is tokens per joule. No tokens or no energy: no figure."""
    return ratio(tokens_per_second, watts) if tokens_per_second else None


def joules_per_token(tokens_per_second: float | None, watts: float | None) -> float | None:
    """The inverse of `tokens_per_watt`: no tokens or no energy, no figure."""
    return ratio(watts, tokens_per_second) if watts else None


def cost_per_million_tokens(cost_per_second: float | None, tokens_per_second: float | None) -> float | None:
    """Money for a million tokens. No tokens: no figure; a price of 0 gives 0."""
    each = ratio(cost_per_second, tokens_per_second)
    return None if each is None else _finite(each * TOKENS_PER_MILLION)


def cost_per_hour(cost_per_second: float | None) -> float | None:
    """Money for an hour at the present rate."""
    return None if cost_per_second is None else _finite(cost_per_second * SECONDS_PER_HOUR)


def goodput(good: float | None, seconds: float) -> float | None:
    """Good requests per second over a window of `seconds`."""
    return ratio(good, seconds)


def good_requests_per_joule(good: float | None, seconds: float, watts: float | None) -> float | None:
    """Good requests over the joules of the same window; 0 where joules were spent and no request was good."""
    return ratio(goodput(good, seconds), watts)


def cost_per_good_request(good: float | None, seconds: float, cost_per_second: float | None) -> float | None:
    """Money for one good request. The upper bound of good requests gives this figure's lower bound.

    With no good request there is no figure, however much was spent.
    """
    return ratio(cost_per_second, goodput(good, seconds))


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
