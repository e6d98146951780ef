"""PromQL that several dashboards share. Ratios are sums of counters over sums of counters, never averages of ratios."""

ACCOUNTS = 'job=~"$job", server=~"$server", model=~"$model"'
SERVERS = 'job=~"$job", server=~"$server"'
GPUS = 'job=~"$job", gpu=~"$gpu"'
JOBS = 'job=~"$job"'
OBJECTIVE = f'{ACCOUNTS}, slo="$slo"'

BY_ACCOUNT = "server, model"
ACCOUNT = "{{server}} {{model}}"

# The latency histograms' evidence is counted once a window (a minute unless configured), so it needs longer ranges.
SLO_INTERVAL = "2m"
BOUNDS = (("lower", "at least"), ("upper", "at most"))


def rate(metric: str, selector: str = ACCOUNTS, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Growth per second, summed."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate(goodwatt_{metric}{{{selector}}}[{window}]))"


def increase(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """Growth over the time shown, summed."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (increase(goodwatt_{metric}{{{selector}}}[$__range]))"


def total(metric: str, selector: str = ACCOUNTS, *, by: str = "") -> str:
    """A gauge, summed."""
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (goodwatt_{metric}{{{selector}}})"


def good(bound: str, selector: str = OBJECTIVE) -> str:
    """Selector of good requests by bound; only per-request records give `exact`."""
    return f'{selector}, method="{_method(bound)}", bound="{bound}"'


def judged(bound: str, selector: str = OBJECTIVE) -> str:
    """Selector of the requests that the bound is a share of."""
    return f'{selector}, method="{_method(bound)}"'


def good_share(bound: str, selector: str = OBJECTIVE, *, by: str = "", window: str = "$__rate_interval") -> str:
    """Share of requests that were good."""
    part = rate("slo_good_requests_total", good(bound, selector), by=by, window=window)
    return f"{part} / {rate('slo_requests_total', judged(bound, selector), by=by, window=window)}"


def threshold_share(bound: str) -> str:
    """Share of requests within one threshold alone, by threshold."""
    part = rate("slo_threshold_met_requests_total", good(bound), by="signal")
    return f"{part} / {rate('slo_threshold_requests_total', judged(bound), by='signal')}"


def good_share_shown(bound: str, selector: str = OBJECTIVE, *, by: str = "") -> str:
    """Share of requests that were good over the time shown."""
    part = increase("slo_good_requests_total", good(bound, selector), by=by)
    return f"{part} / {increase('slo_requests_total', judged(bound, selector), by=by)}"


def burn(bound: str, window: str) -> str:
    """How many times faster than the objective allows the error budget is being spent."""
    allowed = f'(1 - max(goodwatt_slo_objective_ratio{{{JOBS}, slo="$slo"}}))'
    return f"(1 - {good_share(bound, window=window)}) / {allowed}"


def quantile(share: float, histogram: str, *, by: str) -> str:
    """A latency that this share of the requests did not exceed, as the buckets tell: an estimate inside a bucket."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', by=f'le, {by}')})"


def _method(bound: str) -> str:
    return "exact" if bound == "exact" else "histogram"
