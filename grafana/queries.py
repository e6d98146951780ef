"""PromQL that several dashboards share. Ratios are sums of counters over sums of counters, never averages of ratios."""

from collections.abc import Callable

JOBS = 'job=~"$job", instance=~"$instance"'
SERVERS = f'{JOBS}, server=~"$server"'
ACCOUNTS = f'{SERVERS}, model=~"$model"'
GPUS = f'{JOBS}, gpu=~"$gpu"'
OBJECTIVE = f'{ACCOUNTS}, slo="$slo"'

BY_ACCOUNT = "server, model"
ACCOUNT = "{{server}} {{model}}"

# A range is charged once for the requests in flight at its beginning: with this step $__rate_interval is four minutes,
# and the charge is small.
SLO_STEP = "1m"
BOUNDS = (("lower", "at least"), ("upper", "at most"))
PROMISED = f'max(goodwatt_slo_objective_ratio{{{JOBS}, slo="$slo"}})'

GENERATED, ENERGY, COST, REVENUE = "generated_tokens_total", "energy_joules_total", "cost_total", "revenue_total"
IDLE = f'{ACCOUNTS}, state="idle"'


def rate(metric: str, selector: str = ACCOUNTS, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Growth per second, summed."""
    return f"sum{_grouped(by)} (rate(goodwatt_{metric}{{{selector}}}[{window}]))"


def increase(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """Growth over the time shown, summed."""
    return _increase(metric, selector, by, "$__range")


def events(metric: str, selector: str, *, by: str, window: str) -> str:
    """How often something happened within a window, the first time included: before that it had no series."""
    series = f"goodwatt_{metric}{{{selector}}}"
    return f"sum by ({by}) (increase({series}[{window}]) and {series} offset {window} or {series})"


def price(money: str, tokens: str, *, by: str = "") -> str:
    """Money per million tokens by currency: each currency over the tokens that it paid. Both are growths of series."""
    labels = f"{by}, currency" if by else "currency"
    account = "job, instance, server, model"
    paid = f"0 * sum by ({account}, currency) ({money}) + on ({account}) group_left () sum by ({account}) ({tokens})"
    return ratio(f"1e6 * sum by ({labels}) ({money})", f"sum by ({labels}) ({paid})")


def total(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """A gauge, summed."""
    return f"sum{_grouped(by)} (goodwatt_{metric}{{{selector}}})"


def ratio(part: str, whole: str, *, matching: str = "") -> str:
    """One sum over another; nothing, and not NaN, where there is nothing to divide by."""
    return f"{part} /{f' {matching}' if matching else ''} ({whole} > 0)"


def how_many(metric: str, condition: str, selector: str) -> str:
    """How many series fulfil a condition: 0 where none does, nothing where there is no series."""
    return f"sum(goodwatt_{metric}{{{selector}}} {condition})"


def good(bound: str, selector: str = OBJECTIVE) -> str:
    """Selector of good requests by bound; only per-request records give `exact`."""
    return f'{selector}, method="{_method(bound)}", bound="{bound}"'


def judged(bound: str, selector: str = OBJECTIVE) -> str:
    """Selector of the requests that the bound is a share of."""
    return f'{selector}, method="{_method(bound)}"'


def good_share(bound: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Share of requests that were good, with bounds that hold for this very window."""
    share = ratio(
        good_increase(bound, by=by, window=window), _increase("slo_requests_total", judged(bound), by, window)
    )
    return f"clamp_max({share}, 1)" if bound == "upper" else share


def good_increase(bound: str, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Good requests over a window, charged once for those in flight when it began."""
    grown = _increase("slo_good_requests_total", good(bound), by, window)
    if bound == "exact":
        return grown
    return charged(bound, grown, lambda gauge: f"sum{_grouped(by)} (goodwatt_{gauge}{{{OBJECTIVE}}} offset {window})")


def charged(bound: str, grown: str, in_flight: Callable[[str], str]) -> str:
    """A growth of good requests less, or plus, what `in_flight` gives for a gauge at the beginning of the range.

    Where there was no gauge the counters began within the range, and nothing is to be charged.
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
    """Share of requests that were good over the time shown."""
    return good_share(bound, by=by, window="$__range")


def proven(figure: Callable[[str], str], bound: str) -> str:
    """A figure by what histograms prove, and where there are none by records of requests: that is both bounds."""
    return f"{figure(bound)} or {figure('exact')}"


def threshold_share(bound: str) -> str:
    """Share of requests within one threshold alone, by threshold."""
    part = rate("slo_threshold_met_requests_total", good(bound), by="signal")
    return ratio(part, rate("slo_threshold_requests_total", judged(bound), by="signal"))


def burn(bound: str, window: str) -> str:
    """How many times faster than the objective allows the error budget is being spent."""
    return ratio(f"(1 - {good_share(bound, window=window)})", f"1 - {PROMISED}")


def budget_left(bound: str) -> str:
    """Share of the requests that were allowed to be bad and were not, over as long as the time shown."""
    return f"1 - {burn(bound, '$__range')}"


def quantile(share: float, histogram: str, selector: str = ACCOUNTS) -> str:
    """A latency that this share of the requests did not exceed, as the buckets tell: an estimate inside a bucket."""
    return seen(f"histogram_quantile({share}, {rate(f'{histogram}_bucket', selector, by='le')})")


def seen(latency: str) -> str:
    """Nothing, and not NaN, where there was no request."""
    return f"{latency} >= 0"


def _grouped(by: str) -> str:
    return f" by ({by})" if by else ""


def _method(bound: str) -> str:
    return "exact" if bound == "exact" else "histogram"
