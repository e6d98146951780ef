"""PromQL shared by the dashboards. Ratios are sums of counters over sums of counters, never averages of ratios."""

from collections.abc import Callable

from goodwatt.rules.slo_alerts import CERTAIN_RECORD, POSSIBLE_RECORD

JOBS = 'job=~"$job", instance=~"$instance"'
SERVERS = f'{JOBS}, server=~"$server"'
ACCOUNTS = f'{SERVERS}, model=~"$model"'
GPUS = f'{JOBS}, gpu=~"$gpu"'
OBJECTIVE = f'{ACCOUNTS}, slo="$slo"'

BY_ACCOUNT = "server, model"
ACCOUNT = "{{server}} {{model}}"

# Bounds are charged once per range for the requests in flight at its start. This step makes $__rate_interval four
# minutes, so the charge is small.
SLO_STEP = "1m"
BOUNDS = (("lower", "at least"), ("upper", "at most"))
OBJECTIVE_RATIO = f'max(goodwatt_slo_objective_ratio{{{JOBS}, slo="$slo"}})'

GENERATED, ENERGY, COST, REVENUE = "generated_tokens_total", "energy_joules_total", "cost_total", "revenue_total"
IDLE = f'{ACCOUNTS}, state="idle"'


def rate(metric: str, selector: str = ACCOUNTS, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Sum the per-second rates of one of our counters."""
    return f"sum{_grouped(by)} (rate(goodwatt_{metric}{{{selector}}}[{window}]))"


def increase(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """Sum a counter's increase over the time range."""
    return _increase(metric, selector, by, "$__range")


def events(metric: str, selector: str, *, by: str, window: str) -> str:
    """Count events in a window including the first ever, before which the series did not exist."""
    series = f"goodwatt_{metric}{{{selector}}}"
    return f"sum by ({by}) (increase({series}[{window}]) and {series} offset {window} or {series})"


def price(money: str, tokens: str, *, by: str = "") -> str:
    """Cost per million tokens by currency, each over the tokens it paid for. Takes increases or rates per series."""
    labels = f"{by}, currency" if by else "currency"
    account = "job, instance, server, model"
    paid = f"0 * sum by ({account}, currency) ({money}) + on ({account}) group_left () sum by ({account}) ({tokens})"
    return ratio(f"1e6 * sum by ({labels}) ({money})", f"sum by ({labels}) ({paid})")


def total(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """Sum a gauge."""
    return f"sum{_grouped(by)} (goodwatt_{metric}{{{selector}}})"


def ratio(part: str, whole: str, *, matching: str = "") -> str:
    """Divide two sums; empty rather than NaN if the divisor is 0."""
    return f"{part} /{f' {matching}' if matching else ''} ({whole} > 0)"


def how_many(metric: str, condition: str, selector: str) -> str:
    """Count the series that fulfil a condition: 0 if none does, empty if there is no series."""
    return f"sum(goodwatt_{metric}{{{selector}}} {condition})"


def good(bound: str, selector: str = OBJECTIVE) -> str:
    """Select good requests by bound; `exact` needs request records."""
    return f'{selector}, method="{_method(bound)}", bound="{bound}"'


def judged(bound: str, selector: str = OBJECTIVE) -> str:
    """Select the eligible requests that belong to a bound."""
    return f'{selector}, method="{_method(bound)}"'


def good_share(bound: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Share of good requests, with bounds that hold for exactly this window."""
    share = ratio(
        good_increase(bound, by=by, window=window), _increase("slo_requests_total", judged(bound), by, window)
    )
    return f"clamp_max({share}, 1)" if bound == "upper" else share


def good_increase(bound: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Good requests over a window, charged once for the requests in flight at its start."""
    grown = _increase("slo_good_requests_total", good(bound), by, window)
    if bound == "exact":
        return grown
    return charged(bound, grown, lambda gauge: _at_start(f"goodwatt_{gauge}{{{OBJECTIVE}}}", by, window))


def _at_start(gauge: str, by: str, window: str) -> str:
    """Sum a gauge at the start of the window; of a series that did not exist then, take the window's maximum."""
    return f"sum{_grouped(by)} ({gauge} offset {window} or max_over_time({gauge}[{window}]))"


def charged(bound: str, grown: str, in_flight: Callable[[str], str]) -> str:
    """Charge an increase of good requests for the requests in flight at the start of the range.

    `in_flight` returns the query of a gauge at that time; without one there is no charge.
    """
    if bound == "lower":
        return f"clamp_min({grown} - ({in_flight('slo_possibly_bad_in_flight')} or 0 * {grown}), 0)"
    return f"({grown} + ({in_flight('slo_possibly_good_in_flight')} or 0 * {grown}))"


def good_rate(bound: str) -> str:
    """Good requests per second."""
    return f"{good_share(bound)} * {rate('slo_requests_total', judged(bound))}"


def _increase(metric: str, selector: str, by: str, window: str) -> str:
    return f"sum{_grouped(by)} (increase(goodwatt_{metric}{{{selector}}}[{window}]))"


def good_share_shown(bound: str, *, by: str = "") -> str:
    """Share of good requests over the time range."""
    return good_share(bound, by=by, window="$__range")


def proven(figure: Callable[[str], str], bound: str) -> str:
    """Return a figure by histogram bounds, or by request records for servers without histograms."""
    return f"{figure(bound)} or {figure('exact')}"


def threshold_share(bound: str) -> str:
    """Share of requests within each threshold, by signal."""
    part = rate("slo_threshold_met_requests_total", good(bound), by="signal")
    return ratio(part, rate("slo_threshold_requests_total", judged(bound), by="signal"))


def burn(bound: str, window: str) -> str:
    """How many times faster than allowed the error budget is spent."""
    return ratio(f"(1 - {good_share(bound, window=window)})", f"1 - {OBJECTIVE_RATIO}")


def alerted_burn(bound: str, window: str) -> str:
    """The same for the worst of the chosen models, from the record that the alerts on error budgets use."""
    record = CERTAIN_RECORD if bound == "upper" else POSSIBLE_RECORD
    worst = f'max({record}{window}{{job=~"$job", model=~"$model", slo="$slo"}})'
    return ratio(worst, f"1 - {OBJECTIVE_RATIO}")


def budget_left(bound: str) -> str:
    """Share of the error budget that is left, over a window as long as the time range."""
    return f"1 - {burn(bound, '$__range')}"


def quantile(share: float, histogram: str, selector: str = ACCOUNTS) -> str:
    """A latency quantile, interpolated within the histogram bucket."""
    return seen(f"histogram_quantile({share}, {rate(f'{histogram}_bucket', selector, by='le')})")


def seen(latency: str) -> str:
    """Drop the NaN of a quantile without requests."""
    return f"{latency} >= 0"


def _grouped(by: str) -> str:
    return f" by ({by})" if by else ""


def _method(bound: str) -> str:
    return "exact" if bound == "exact" else "histogram"
