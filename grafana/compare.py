"""Dashboard Compare: two servers, models or times side by side, and efficiency at similar load."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from grafana import queries as q
from grafana.board import ANY_MODEL, JOB, Board, Choice, Variable
from grafana.looks import (
    EFFICIENCY,
    GOOD,
    LATENCY,
    POWER,
    PRICE,
    RATIO,
    SPEED,
    TOKENS_PER_JOULE,
)
from grafana.overrides import Json, by_pattern, coloured
from grafana.panels import Look, Panel, Query, bars, row, stat, text, timeseries
from grafana.queries import COST, ENERGY, GENERATED

# Prometheus rejects an offset of zero.
SHIFTS = (("none", "1ms"), *((time, time) for time in ("15m", "1h", "1d", "7d")))
# Ranges of running requests: from the first number up to, but not including, the second.
LOADS = ((0, 1), (1, 4), (4, 16), (16, 64), (64, 256), (256, None))
TTFT, TPOT = "time_to_first_token_seconds", "time_per_output_token_seconds"
DIFFERENCE = "B vs. A"


@dataclass(frozen=True, slots=True)
class Over:
    """A PromQL function and its window; side B is additionally offset by `Shift B`."""

    function: str
    window: str


NOW, SHOWN = Over("rate", "$__rate_interval"), Over("increase", "$__range")
Expression = Callable[[str], str]  # of a side, a or b


def _variables(side: str) -> tuple[Variable, Variable, Variable]:
    """Preselect the last server for B, so the dashboard opens on two different servers."""
    name = side.upper()
    instances = f'job=~"$job", instance=~"$instance_{side}"'
    servers = f'{instances}, server=~"$server_{side}"'
    return (
        Variable(f"instance_{side}", f"Instance {name}", "goodwatt_build_info", 'job=~"$job"', "instance"),
        Variable(
            *(f"server_{side}", f"Server {name}", "goodwatt_server_up", instances, "server"),
            several=False,
            last_first=side == "b",
        ),
        Variable(
            *(f"model_{side}", f"Model {name}", "goodwatt_generated_tokens_total", servers, "model"),
            everything=ANY_MODEL,
        ),
    )


def _selector(side: str) -> str:
    chosen = ("instance", "server", "model")
    return ", ".join(['job=~"$job"', *(f'{label}=~"${label}_{side}"' for label in chosen)])


def _offset(side: str) -> str:
    return " offset $shift" if side == "b" else ""


def _series(metric: str, side: str, over: Over, more: str = "", *, by: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} ({_growth(metric, side, over, more)})"


def _growth(metric: str, side: str, over: Over, more: str = "") -> str:
    return f"{over.function}(goodwatt_{metric}{{{_selector(side)}{more}}}[{over.window}]{_offset(side)})"


def _efficiency(side: str, over: Over = NOW) -> str:
    return q.ratio(_series(GENERATED, side, over), _series(ENERGY, side, over))


def _price(side: str, over: Over = NOW) -> str:
    return q.price(_growth(COST, side, over), _growth(GENERATED, side, over))


def _good(side: str, bound: str) -> str:
    chosen = f', slo="$slo", method="{"exact" if bound == "exact" else "histogram"}"'
    good = _series("slo_good_requests_total", side, SHOWN, f'{chosen}, bound="{bound}"')
    if bound != "exact":
        good = q.charged(bound, good, lambda gauge: _at_start(gauge, side))
    share = q.ratio(good, _series("slo_requests_total", side, SHOWN, chosen))
    return f"clamp_max({share}, 1)" if bound == "upper" else share


def _at_start(gauge: str, side: str) -> str:
    """Return an SLO gauge at the start of the time range; a subquery adds the shift of side B."""
    then = f'sum (goodwatt_{gauge}{{{_selector(side)}, slo="$slo"}} offset $__range)'
    return f"last_over_time(({then})[1m:1m]{_offset(side)})"


def _quantile(side: str, histogram: str, over: Over = NOW) -> str:
    return q.seen(f"histogram_quantile(0.95, {_series(f'{histogram}_bucket', side, over, by='le')})")


def _difference(a: str, b: str) -> str:
    """Return the difference of B from A as a share of A."""
    return f"{q.ratio(f'({b})', f'({a})')} - 1"


def _versus(
    title: str, description: str, expression: Callable[[str, Over], str], look: Look, legend: str = ""
) -> Panel:
    """Show A, B and their relative difference over the time range."""
    a, b = expression("a", SHOWN), expression("b", SHOWN)
    relative = by_pattern(f"/^{DIFFERENCE}/", {"unit": RATIO, "decimals": 1})
    return stat(
        title,
        f"{description} Over the time range.",
        [
            Query(a, f"A{legend}", instant=True),
            Query(b, f"B{legend}", instant=True),
            Query(_difference(a, b), f"{DIFFERENCE}{legend}", instant=True),
        ],
        replace(look, least=None, overrides=[relative]),
        width=12,
    )


def _headline() -> list[Panel]:
    good = [
        Query(q.proven(partial(_good, side), bound), f"{side.upper()} {name}", instant=True)
        for side in ("a", "b")
        for bound, name in q.BOUNDS
    ]
    return [
        _versus("Tokens per watt", "Generated tokens per joule, idle time included.", _efficiency, EFFICIENCY),
        _versus(
            "Cost per million tokens",
            "Cost of a million generated tokens, idle time included.",
            _price,
            PRICE,
            " {{currency}}",
        ),
        stat(
            "Good requests",
            "Share of requests over the time range that met every threshold: proved lower and upper bound.",
            good,
            GOOD,
            width=12,
        ),
        _versus(
            "Time to first token, p95",
            "Interpolated within histogram buckets: an estimate, not a verdict.",
            lambda side, over: _quantile(side, TTFT, over),
            replace(LATENCY, decimals=2),
        ),
    ]


def _both(title: str, description: str, expression: Expression, look: Look, legend: str = "") -> Panel:
    queries = [Query(expression(side), f"{side.upper()}{legend}") for side in ("a", "b")]
    return timeseries(title, description, queries, replace(look, overrides=_colors()))


def _colors() -> list[Json]:
    return [by_pattern("/^A/", coloured("blue")), by_pattern("/^B/", coloured("orange"))]


def _trends() -> list[Panel]:
    interpolated = "Interpolated within histogram buckets: an estimate, not a verdict."
    return [
        _both("Tokens per watt", "Generated tokens per joule, idle time included.", _efficiency, EFFICIENCY),
        _both("Cost per million generated tokens", "Idle time included.", _price, PRICE, " {{currency}}"),
        _both(
            "Generated tokens per second",
            "The load behind the figures above.",
            lambda side: _series(GENERATED, side, NOW),
            SPEED,
        ),
        _both("Power", "Mean GPU power attributed to each side.", lambda side: _series(ENERGY, side, NOW), POWER),
        _both("Time to first token, p95", interpolated, lambda side: _quantile(side, TTFT), LATENCY),
        _both("Time per output token, p95", interpolated, lambda side: _quantile(side, TPOT), LATENCY),
    ]


def _against_load() -> Panel:
    return bars(
        "Tokens per watt by requests running",
        "Generated tokens per joule over the time range, grouped by the number of requests running on a server. Load "
        "alone changes efficiency several times over, so compare A and B at similar load.",
        [
            Query(
                _at_load(side, low, high),
                f"{side.upper()}, {_load_name(low, high)}",
                True,
                "never at this load",
            )
            for low, high in LOADS
            for side in ("a", "b")
        ],
        Look(TOKENS_PER_JOULE, decimals=2, least=0, overrides=_colors()),
        width=24,
        height=9,
    )


def _at_load(side: str, low: int, high: int | None) -> str:
    """Divide summed live figures, restricted to the times at this load; the result is a ratio of sums."""
    limit = "" if high is None else f" < {high}"
    at_load = f"sum by (server, model) (goodwatt_requests_running{{{_selector(side)}}}) >= {low}{limit}"
    tokens, watts = (
        f"sum(sum_over_time((sum by (server, model) (goodwatt_{metric}) and {at_load})"
        f"[$__range:$__interval]{_offset(side)}))"
        for metric in (
            f'tokens_per_second{{{_selector(side)}, kind="generated"}}',
            f"attributed_power_watts{{{_selector(side)}}}",
        )
    )
    return q.ratio(tokens, watts)


def _load_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return "none" if high == 1 else f"{low} to {high - 1}"


WORDS = (
    "Choose **A** and **B** above: two servers, two models, or the same ones at two times. `Shift B` compares B "
    "that long ago with A now."
)

BOARD = Board(
    "goodwatt-compare",
    "goodwatt / Compare",
    "Two servers, models or times side by side, and tokens per watt at similar load.",
    (
        JOB,
        *_variables("a"),
        *_variables("b"),
        Variable("slo", "SLO", "goodwatt_slo_objective_ratio", 'job=~"$job"', several=False),
        Choice("shift", "Shift B", SHIFTS),
    ),
    (
        *_headline(),
        text("How to compare", WORDS),
        row("At similar load"),
        _against_load(),
        row("Side by side"),
        *_trends(),
    ),
    annotations=(),
)
