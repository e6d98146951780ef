"""Dashboard Economics: what tokens cost in money and energy, and how many requests met the SLO."""

from dataclasses import replace
from functools import partial

from grafana import queries as q
from grafana.board import INSTANCE, JOB, MODEL, SERVER, SLO, Board
from grafana.looks import (
    COST_LOOK,
    EFFICIENCY,
    GOOD,
    GRAMS_PER_HOUR,
    JOULES,
    MONEY,
    NO_OBJECTIVE,
    NO_RECORDS,
    NOT_COUNTED,
    PRICE,
    RATIO,
    SHARE,
    SPEED,
    TOKENS,
    band,
)
from grafana.panels import STACKED, Column, Look, Panel, Query, row, stat, table, timeseries
from grafana.queries import COST, ENERGY, GENERATED, REVENUE

NO_TOKEN_PRICES = "no token prices are configured"  # noqa: S105 - not a secret
NO_CARBON = "no carbon intensity is configured"
CARBON = Look(GRAMS_PER_HOUR, decimals=0, least=0, nothing=NO_CARBON)
UNCLAIMED = "unattributed"


def _per_million(*, by: str = "") -> str:
    """Return the cost per million tokens by currency and the given labels."""
    return _price("increase", "$__range", by)


def _price(function: str, window: str, by: str) -> str:
    money, tokens = (f"{function}(goodwatt_{metric}{{{q.ACCOUNTS}}}[{window}])" for metric in (COST, GENERATED))
    return q.price(money, tokens, by=by)


def _margin(by: str) -> str:
    return f"3600 * ({q.rate(REVENUE, by=by)} - {q.rate(COST, by=by)})"


def _cost_per_good(bound: str) -> str:
    """Return the cost per thousand good requests, over the servers and models that the SLO covers."""
    concerned = f"on (server, model) goodwatt_slo_requests_total{{{q.judged(bound)}}}"
    cost = f"sum by (currency) (rate(goodwatt_{COST}{{{q.ACCOUNTS}}}[$__rate_interval]) and {concerned})"
    return q.ratio(f"1e3 * {cost}", f"({q.good_rate(bound)})", matching="on () group_left ()")


def _headline() -> list[Panel]:
    return [
        stat(
            "Generated tokens",
            "Tokens generated per second now, over all selected servers and models.",
            [Query(q.rate(GENERATED))],
            replace(SPEED, nothing="no server reports tokens"),
            width=6,
        ),
        stat(
            "Tokens per watt",
            "Generated tokens per second per watt, which equals tokens per joule, over the time range. GPU energy, "
            "idle time included.",
            [Query(q.ratio(q.increase(GENERATED), q.increase(ENERGY)), instant=True)],
            EFFICIENCY,
            width=6,
            to="goodwatt-energy",
        ),
        stat(
            "Cost per million tokens",
            "Cost of a million generated tokens over the time range, idle time included. GPUs that no server claims "
            "are excluded; see Unattributed cost.",
            [Query(_per_million(), "{{currency}}", instant=True)],
            PRICE,
            width=6,
        ),
        stat(
            "Good requests",
            "Share of requests over the time range that met every threshold of the SLO. Histograms prove a lower and "
            "an upper bound that contain the true share; request records give it exactly.",
            [
                Query(q.good_share_shown("lower"), "at least", instant=True),
                Query(q.good_share_shown("exact"), "exact", instant=True, optional=NO_RECORDS),
                Query(q.good_share_shown("upper"), "at most", instant=True),
            ],
            GOOD,
            width=6,
            to="goodwatt-goodput",
        ),
    ]


def _rates() -> list[Panel]:
    return [
        stat(
            "Cost per hour",
            "Current cost per hour of the selected servers and models, idle time included.",
            [Query(f"3600 * {q.rate(COST, by='currency')}", "{{currency}}")],
            COST_LOOK,
        ),
        stat(
            "Margin per hour",
            "Current revenue per hour at the configured token prices, minus cost.",
            [Query(_margin("currency"), "{{currency}}", optional=NO_TOKEN_PRICES)],
            replace(COST_LOOK, steps=((None, "red"), (0, "green"))),
        ),
        stat(
            "Unattributed cost",
            "Current cost per hour of GPUs that no server claims, over all selected instances.",
            [Query(f"3600 * {q.rate('unattributed_cost_total', q.JOBS, by='currency')}", "{{currency}}")],
            COST_LOOK,
        ),
        stat(
            "Idle energy",
            "Share of the attributed energy over the time range that was spent while no request was served.",
            [Query(q.ratio(q.increase(ENERGY, q.IDLE), q.increase(ENERGY)), instant=True)],
            replace(SHARE, nothing="no GPU is read"),
        ),
        stat(
            "Power",
            "Mean GPU power attributed to the selected servers and models now.",
            [Query(q.rate(ENERGY))],
            Look("watt", nothing="no GPU is read"),
            to="goodwatt-energy",
        ),
        stat(
            "Carbon",
            "Grams of CO2 equivalent per hour now, host factor and PUE included.",
            [Query(f"3600 * {q.rate('carbon_grams_total')}")],
            CARBON,
        ),
    ]


def _ledger(title: str, by: str, labels: tuple[Column, ...], description: str) -> Panel:
    queries = (
        q.increase(GENERATED, by=by),
        q.increase("prompt_tokens_total", by=by),
        q.increase(ENERGY, by=by),
        q.ratio(q.increase(GENERATED, by=by), q.increase(ENERGY, by=by)),
        q.ratio(q.increase(ENERGY, q.IDLE, by=by), q.increase(ENERGY, by=by)),
        q.increase(COST, by=f"{by}, currency"),
        _per_million(by=by),
        *(q.proven(partial(q.good_share_shown, by=by), bound) for bound, _ in q.BOUNDS),
    )
    margin = f"{q.increase(REVENUE, by=f'{by}, currency')} - {q.increase(COST, by=f'{by}, currency')}"
    return table(
        title,
        description,
        [*(Query(query, instant=True) for query in queries), Query(margin, instant=True, optional=NO_TOKEN_PRICES)],
        (
            *labels,
            Column("Value #A", "Generated", TOKENS, 1),
            Column("Value #B", "Prompt", TOKENS, 1),
            Column("Value #C", "Energy", JOULES, 1),
            Column("Value #D", "Tok/J", "none", 2),
            Column("Value #E", "Idle", RATIO, 1, width=70),
            Column("currency", "Currency", width=85),
            Column("Value #F", "Cost", MONEY, 3),
            Column("Value #G", "Per million", MONEY, 3),
            Column("Value #J", "Margin", MONEY, 3),
            Column("Value #H", "Good, at least", RATIO, 2, width=110),
            Column("Value #I", "Good, at most", RATIO, 2, width=110),
        ),
        height=5,
        most_first="Cost",
        nothing="no server reports tokens",
    )


BOARD = Board(
    "goodwatt-economics",
    "goodwatt / Economics",
    "Tokens, energy, cost and goodput of the whole fleet, by model and by server.",
    (JOB, INSTANCE, SERVER, MODEL, SLO),
    (
        *_headline(),
        *_rates(),
        row("Revenue and cost by model"),
        _ledger(
            "By model",
            "model",
            (Column("model", "Model", width=250),),
            "Each model over all its servers and the time range. Tok/J and Per million count generated tokens, idle "
            "time included.",
        ),
        _ledger(
            "By server",
            q.BY_ACCOUNT,
            (Column("server", "Server"), Column("model", "Model", width=240)),
            "Each model on each server over the time range, idle time included.",
        ),
        row("Efficiency"),
        timeseries(
            "Generated tokens per second",
            "By server and model.",
            [Query(q.rate(GENERATED, by=q.BY_ACCOUNT), q.ACCOUNT)],
            SPEED,
        ),
        timeseries(
            "Tokens per watt",
            "Generated tokens per joule of GPU energy, idle included. It rises with load; compare at similar load.",
            [Query(q.ratio(q.rate(GENERATED, by=q.BY_ACCOUNT), q.rate(ENERGY, by=q.BY_ACCOUNT)), q.ACCOUNT)],
            EFFICIENCY,
        ),
        timeseries(
            "Tokens by kind",
            "Computed prompt tokens, prompt tokens found in the prefix cache (nearly free), and generated tokens. If "
            "an engine does not report cached tokens, they are counted as computed.",
            [
                Query(
                    f"{q.rate('prompt_tokens_total')} - ({q.rate('cached_prompt_tokens_total')} or vector(0))", "prompt"
                ),
                Query(q.rate("cached_prompt_tokens_total"), "cached prompt", optional=NOT_COUNTED),
                Query(q.rate(GENERATED), "generated"),
            ],
            SPEED,
            lines=STACKED,
        ),
        timeseries(
            "Idle energy",
            "Share of each server's energy that was spent while it served no request.",
            [Query(q.ratio(q.rate(ENERGY, q.IDLE, by="server"), q.rate(ENERGY, by="server")), "{{server}}")],
            replace(SHARE, nothing="no GPU is read"),
        ),
        row("Money and carbon"),
        timeseries(
            "Cost per million generated tokens",
            "Cost of a million generated tokens, idle time included, by model over all its servers.",
            [
                Query(_price("rate", "$__rate_interval", "model"), "{{model}} {{currency}}"),
            ],
            PRICE,
        ),
        timeseries(
            "Cost per hour",
            "Cost of the selected servers and, on top, of GPUs that no server claims.",
            [
                Query(f"3600 * {q.rate(COST, by='server, model, currency')}", q.ACCOUNT + " {{currency}}"),
                Query(
                    f"3600 * {q.rate('unattributed_cost_total', q.JOBS, by='currency')}", UNCLAIMED + " {{currency}}"
                ),
            ],
            replace(COST_LOOK, least=0),
            lines=STACKED,
        ),
        timeseries(
            "Margin per hour",
            "Revenue at the configured token prices, minus cost. Below zero the model loses money.",
            [Query(_margin("model, currency"), "{{model}} {{currency}}", optional=NO_TOKEN_PRICES)],
            COST_LOOK,
        ),
        timeseries(
            "Carbon",
            "Grams of CO2 equivalent per hour, host factor and PUE included, and the unattributed part.",
            [
                Query(f"3600 * {q.rate('carbon_grams_total', by=q.BY_ACCOUNT)}", q.ACCOUNT),
                Query(f"3600 * {q.rate('unattributed_carbon_grams_total', q.JOBS)}", UNCLAIMED),
            ],
            CARBON,
            lines=STACKED,
        ),
        row("Goodput"),
        timeseries(
            "Good requests per second",
            "Requests that met every threshold of the SLO: lower and upper bound, and the exact rate where goodwatt "
            "receives request records.",
            [
                *(Query(q.good_rate(bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS),
                Query(q.good_rate("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
            ],
            Look("reqps", least=0, nothing=NO_OBJECTIVE, overrides=band()),
        ),
        timeseries(
            "Cost per thousand good requests",
            "Cost of a thousand requests that met every threshold, over the servers and models that the SLO covers. "
            "The upper bound of good requests gives the lowest cost.",
            [
                Query(_cost_per_good("upper"), "at least", step=q.SLO_STEP),
                Query(_cost_per_good("lower"), "at most", step=q.SLO_STEP),
                Query(_cost_per_good("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
            ],
            Look(MONEY, least=0, nothing=NO_OBJECTIVE, overrides=band()),
        ),
    ),
)
