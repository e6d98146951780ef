"""Pieces of PromQL that several rules share."""

from math import ceil

from goodwatt.model.alerting import Alerting

ACCOUNT = "job, instance, server, model"
AROUND_SECONDS = 120  # holds a sample for every scrape interval up to a minute
MOMENTS, PRESENT_RATIO = 60, 0.95  # of a window, at which a gauge is looked for, and how many suffice
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """As Prometheus writes it, rounded up to whole seconds: `5m`, `1h30m`."""
    rest, text = max(1, ceil(round(seconds, 6))), ""
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        text += f"{count}{unit}" if count else ""
    return text


def seconds_of(window: float, alerting: Alerting) -> int:
    """Length of a window in whole seconds, scaled."""
    return max(1, ceil(round(window * alerting.scale, 6)))


def window_of(window: float, alerting: Alerting) -> str:
    """The same as text."""
    return duration(seconds_of(window, alerting))


def wait_of(seconds: float, alerting: Alerting) -> str:
    """How long an alert waits before it fires."""
    return duration(seconds * alerting.scale)


def rate(metric: str, window: str, *, by: str, selector: str = "") -> str:
    """Growth per second, summed."""
    braces = f"{{{selector}}}" if selector else ""
    return f"sum by ({by}) (rate(goodwatt_{metric}{braces}[{window}]))"


def good_requests(seconds: int) -> str:
    """Good requests per second over a window, series by series, with bounds that hold for this very window.

    Requests in flight when the window began are charged once: their first tokens were counted before it. Where the
    gauges did not exist then, the counters began within the window and contain the charge already.
    """
    window, good = duration(seconds), "goodwatt_slo_good_requests_total"
    return (
        f"clamp_min(\n"
        f'    rate({good}{{bound="lower"}}[{window}]) - {_in_flight("bad", seconds)}, 0)\n'
        f'  or rate({good}{{bound="upper"}}[{window}]) + {_in_flight("good", seconds)}\n'
        f"  or rate({good}[{window}])"
    )


def _in_flight(which: str, seconds: int) -> str:
    """The charge per second of a window: the most around its beginning, since samples lie a scrape interval apart."""
    around = min(AROUND_SECONDS, seconds)
    at = f"[{duration(around)}] offset {duration(seconds - around // 2)}"
    gauge = f"max_over_time(goodwatt_slo_possibly_{which}_in_flight{at})"
    return f"on ({ACCOUNT}, slo) group_left () {gauge} / {seconds}"


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
