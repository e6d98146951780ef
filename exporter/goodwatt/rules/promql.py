"""PromQL fragments that several rules share."""

from math import ceil

from goodwatt.model.alerting import Alerting

SCRAPED_ACCOUNT = "job, instance, server, model"
FIRST_SECONDS = 60  # contains a window's first sample at any scrape interval up to a minute, unless there is a gap
# `present_throughout` probes a gauge at this many points in a window; this share of them must have a sample.
PROBES, PRESENT_RATIO = 60, 0.95
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """Format seconds as a Prometheus duration such as `5m` or `1h30m`, rounded up to whole seconds."""
    rest, text = max(1, ceil(round(seconds, 6))), ""
    for unit, length in _UNITS:
        count, rest = divmod(rest, length)
        text += f"{count}{unit}" if count else ""
    return text


def scaled_seconds(seconds: float, alerting: Alerting) -> int:
    """Return a length of time after scaling, in whole seconds and at least one."""
    return max(1, ceil(round(seconds * alerting.scale, 6)))


def scaled_duration(seconds: float, alerting: Alerting) -> str:
    """Return the same as a Prometheus duration."""
    return duration(scaled_seconds(seconds, alerting))


def sum_rate(metric: str, window: str, *, by: str, selector: str = "") -> str:
    """Sum the per-second rates of one of our counters."""
    braces = f"{{{selector}}}" if selector else ""
    return f"sum by ({by}) (rate(goodwatt_{metric}{braces}[{window}]))"


def good_requests(seconds: int) -> str:
    """Good requests per second over a window, per series, with bounds that hold for exactly this window.

    The bounds of method `histogram` are charged once for requests in flight when the window began, whose first tokens
    were counted earlier. Those of method `tick` are about the same requests at their end and need no charge.
    """
    window, good = duration(seconds), "goodwatt_slo_good_requests_total"
    return (
        f"clamp_min(\n"
        f'    rate({good}{{method="histogram", bound="lower"}}[{window}])\n'
        f"      - {_in_flight('bad', seconds)}, 0)\n"
        f'  or rate({good}{{method="histogram", bound="upper"}}[{window}])\n'
        f"      + {_in_flight('good', seconds)}\n"
        f"  or rate({good}[{window}])"
    )


def _in_flight(which: str, seconds: int) -> str:
    """Return the charge per second: at least what was in flight at the window's first sample.

    After a gap or a start, the first sample can be anywhere in the window, so the charge is the window's maximum.
    """
    gauge, first = f"goodwatt_slo_possibly_{which}_in_flight", min(FIRST_SECONDS, seconds)
    offset = f" offset {duration(seconds - first)}" if seconds > first else ""
    most = f"max_over_time({gauge}[{duration(first)}]{offset}) or max_over_time({gauge}[{duration(seconds)}])"
    return f"on ({SCRAPED_ACCOUNT}, slo) group_left () ({most}) / {seconds}"


def present_throughout(gauge: str, seconds: int) -> str:
    """Select series of a gauge without gaps in the window. Across a gap, `rate` and a mean cannot be compared."""
    step = ceil(seconds / PROBES)
    probes = int(PRESENT_RATIO * (seconds // step))
    return f"count_over_time(goodwatt_{gauge}[{duration(seconds)}:{duration(step)}]) >= {probes}"


def present_half_a_window_ago(metric: str, seconds: int) -> str:
    """Select series that existed in the first half of the window, so a share of the window is meaningful."""
    half = duration(seconds / 2)
    return f"present_over_time(goodwatt_{metric}[{half}] offset {half})"


def never_down(window: str) -> str:
    """Select servers read without a gap: after one, the missed tokens are counted but the energy is not."""
    return f"(min_over_time(goodwatt_server_up[{window}]) == 1)"


def gap_free(figure: str, window: str) -> str:
    """Restrict a figure to accounts whose server was never down and reports tokens, for ratios with tokens."""
    return (
        f"{figure}\n"
        f"  and on (job, instance, server) {never_down(window)}\n"
        f"  and on ({SCRAPED_ACCOUNT}) goodwatt_generated_tokens_total"
    )


def gap_free_watts(window: str) -> str:
    """Joules per second of those accounts, by state."""
    return gap_free(sum_rate("energy_joules_total", window, by=f"{SCRAPED_ACCOUNT}, state"), window)
