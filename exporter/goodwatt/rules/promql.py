"""Pieces of PromQL, and the windows that fit how often goodwatt's counters move."""

from math import ceil

from goodwatt.model.alerting import Alerting

ACCOUNT = "job, instance, server, model"
SHORT_WINDOWS, LONG_WINDOWS = 4, 8  # counters of objectives move once a window: fewer moves would be a guess
MOMENTS, PRESENT_RATIO = 60, 0.95  # of a window, at which a gauge is looked for, and how many suffice
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """As Prometheus writes it, rounded up to whole seconds: `5m`, `1h30m`."""
    rest, text = max(1, ceil(round(seconds, 6))), ""
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        text += f"{count}{unit}" if count else ""
    return text


def seconds_of(window: float, alerting: Alerting, least: int = SHORT_WINDOWS) -> int:
    """Length of a window in whole seconds: scaled, and at least `least` times the window of the counters."""
    return ceil(round(max(window * alerting.scale, least * alerting.window_seconds), 6))


def window_of(window: float, alerting: Alerting, least: int = SHORT_WINDOWS) -> str:
    """The same as text."""
    return duration(seconds_of(window, alerting, least))


def wait_of(seconds: float, alerting: Alerting) -> str:
    """How long an alert waits before it fires."""
    return duration(seconds * alerting.scale)


def rate(metric: str, window: str, *, by: str, selector: str = "") -> str:
    """Growth per second, summed."""
    braces = f"{{{selector}}}" if selector else ""
    return f"sum by ({by}) (rate(goodwatt_{metric}{braces}[{window}]))"


def seen_throughout(gauge: str, seconds: int) -> str:
    """Series of a gauge that were there nearly all the time: over a gap `rate` and a mean do not tell the same."""
    step = ceil(seconds / MOMENTS)
    moments = int(PRESENT_RATIO * (seconds // step))
    return f"count_over_time(goodwatt_{gauge}[{duration(seconds)}:{duration(step)}]) >= {moments}"


def old_enough(metric: str, seconds: int) -> str:
    """Series that were there in the first half of a window: a share of less would be told as if it were of all."""
    half = duration(seconds / 2)
    return f"present_over_time(goodwatt_{metric}[{half}] offset {half})"


def never_down(window: str) -> str:
    """Servers that were read without a gap: of a gap the tokens are added later and the joules never are."""
    return f"(min_over_time(goodwatt_server_up[{window}]) == 1)"


def known(figure: str, window: str) -> str:
    """A figure of every account whose tokens are counted too, without gaps; for ratios with tokens."""
    return (
        f"{figure}\n"
        f"  and on (job, instance, server) {never_down(window)}\n"
        f"  and on ({ACCOUNT}) goodwatt_generated_tokens_total"
    )


def energy_of_known(window: str) -> str:
    """Joules per second of those."""
    return known(rate("energy_joules_total", window, by=f"{ACCOUNT}, state"), window)
