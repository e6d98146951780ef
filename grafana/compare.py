"""Two servers, two models or two times side by side, and efficiency at like load."""

from collections.abc import Callable

from grafana.board import JOB, Board, Choice, Variable
from grafana.looks import EFFICIENCY, LATENCY, POWER, PRICE, RATIO, TOKENS_PER_JOULE, TOKENS_PER_SECOND
from grafana.panels import Look, Panel, Query, bars, row, stat, text, timeseries

# Prometheus refuses an offset of nothing.
SHIFTS = (("none", "1ms"), *((time, time) for time in ("15m", "1h", "1d", "7d")))
# Running requests at or above the first and below the second figure.
LOADS = ((0, 1), (1, 4), (4, 16), (16, 64), (64, 256), (256, None))

Over = tuple[str, str]  # a function and its range
NOW, SHOWN = ("rate", "$__rate_interval"), ("increase", "$__range")


def _variables(side: str) -> tuple[Variable, Variable]:
    """B begins with the last server, so that two servers are compared at first sight."""
    server = Variable(
        *(f"server_{side}", f"Server {side.upper()}", "goodwatt_server_up", 'job=~"$job"', "server"),
        several=False,
        last_first=side == "b",
    )
    chosen = f'job=~"$job", server=~"$server_{side}"'
    return server, Variable(f"model_{side}", f"Model {side.upper()}", "goodwatt_energy_joules_total", chosen, "model")


def _selector(side: str) -> str:
    return f'job=~"$job", server=~"$server_{side}", model=~"$model_{side}"'


def _series(metric: str, side: str, over: Over, more: str = "", *, by: str = "") -> str:
    offset = " offset $shift" if side == "b" else ""
    function, window = over
    return f"sum by ({by}) ({function}(goodwatt_{metric}{{{_selector(side)}{more}}}[{window}]{offset}))"


def _ratio(part: str, whole: str, side: str, over: Over, more: tuple[str, str] = ("", "")) -> str:
    return f"{_series(part, side, over, more[0])} / {_series(whole, side, over, more[1])}"


def _efficiency(side: str, over: Over = NOW) -> str:
    return _ratio("generated_tokens_total", "energy_joules_total", side, over)


def _price(side: str, over: Over = NOW) -> str:
    cost, tokens = _series("cost_total", side, over, by="currency"), _series("generated_tokens_total", side, over)
    return f"1e6 * {cost} / on () group_left () {tokens}"


def _goodput(side: str, bound: str) -> str:
    chosen = ', slo="$slo", method="histogram"'
    more = (f'{chosen}, bound="{bound}"', chosen)
    return _ratio("slo_good_requests_total", "slo_requests_total", side, SHOWN, more)


def _quantile(side: str, histogram: str) -> str:
    offset = " offset $shift" if side == "b" else ""
    buckets = f"goodwatt_{histogram}_bucket{{{_selector(side)}}}[$__rate_interval]{offset}"
    return f"histogram_quantile(0.95, sum by (le) (rate({buckets})))"


def _headline(side: str) -> list[Panel]:
    name = side.upper()
    return [
        stat(
            f"{name}: tokens per watt",
            "Generated tokens per joule over the time shown, idle time included.",
            [Query(_efficiency(side, SHOWN), instant=True)],
            EFFICIENCY,
        ),
        stat(
            f"{name}: cost per million tokens",
            "Money for a million generated tokens over the time shown.",
            [Query(_price(side, SHOWN), "{{currency}}", instant=True)],
            PRICE,
        ),
        stat(
            f"{name}: good requests",
            "Share of requests that met every threshold over the time shown: at least, and at most.",
            [
                Query(_goodput(side, "lower"), "at least", instant=True),
                Query(_goodput(side, "upper"), "at most", instant=True),
            ],
            Look(RATIO, decimals=1),
        ),
    ]


def _both(title: str, description: str, expression: Callable[[str], str], look: Look, legend: str = "") -> Panel:
    queries = [Query(expression(side), f"{side.upper()}{legend}") for side in ("a", "b")]
    return timeseries(title, description, queries, look)


def _against_load(side: str) -> Panel:
    return bars(
        f"{side.upper()}: tokens per watt against load",
        "Generated tokens per joule while so many requests were running. Load alone changes efficiency several "
        "times over, so compare like with like.",
        [Query(_at_load(side, low, high), _load_name(low, high), True, "no time at this load") for low, high in LOADS],
        Look(TOKENS_PER_JOULE, decimals=2, least=0),
    )


def _at_load(side: str, low: int, high: int | None) -> str:
    at_load = f"sum by (server, model) (goodwatt_requests_running{{{_selector(side)}}}) >= {low}"
    if high is not None:
        at_load += f" < {high}"
    offset = " offset $shift" if side == "b" else ""
    tokens, watts = (
        f"sum(sum_over_time((sum by (server, model) (goodwatt_{metric}) and {at_load})[$__range:30s]{offset}))"
        for metric in (
            f'tokens_per_second{{{_selector(side)}, kind="generated"}}',
            f"attributed_power_watts{{{_selector(side)}}}",
        )
    )
    return f"{tokens} / {watts}"


def _load_name(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} and more"
    return "none" if high == 1 else f"{low} to {high - 1}"


WORDS = (
    "Choose **A** and **B** above: two servers, two models, or the same ones at two times. `Shift B` shows B as "
    "it was that long ago, beside A as it is now."
)

BOARD = Board(
    "goodwatt-compare",
    "goodwatt / Compare",
    "Two servers, models or times side by side, and tokens per watt at like load.",
    (
        JOB,
        *_variables("a"),
        *_variables("b"),
        Variable("slo", "SLO", "goodwatt_slo_objective_ratio", 'job=~"$job"', several=False),
        Choice("shift", "Shift B", SHIFTS),
    ),
    (
        *_headline("a"),
        *_headline("b"),
        text("How to compare", WORDS),
        row("Side by side"),
        _both("Tokens per watt", "Generated tokens per joule, idle time included.", _efficiency, EFFICIENCY),
        _both("Cost per million generated tokens", "Idle time included.", _price, PRICE, " {{currency}}"),
        _both(
            "Generated tokens per second",
            "The load that the figures above were made at.",
            lambda side: _series("generated_tokens_total", side, NOW),
            Look(TOKENS_PER_SECOND, least=0),
        ),
        _both(
            "Power",
            "Mean watts of GPU power given to each side.",
            lambda side: _series("energy_joules_total", side, NOW),
            POWER,
        ),
        _both(
            "Time to first token, p95",
            "Interpolated inside buckets: for looking, not for judging.",
            lambda side: _quantile(side, "time_to_first_token_seconds"),
            LATENCY,
        ),
        _both(
            "Time per output token, p95",
            "Interpolated inside buckets: for looking, not for judging.",
            lambda side: _quantile(side, "time_per_output_token_seconds"),
            LATENCY,
        ),
        row("At like load"),
        _against_load("a"),
        _against_load("b"),
    ),
)
