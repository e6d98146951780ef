"""What tokens cost, in money and in energy, and how much of it was within the objective."""

from dataclasses import replace
from functools import partial

from grafana import queries as q
from grafana.board import INSTANCE, JOB, MODEL, SERVER, SLO, Board
from grafana.looks import (
    BILL,
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

NO_TOKEN_PRICES = "no prices of tokens are configured"  # noqa: S105 - these tokens are no secrets
NO_CARBON = "no carbon intensity is configured"
CARBON = Look(GRAMS_PER_HOUR, decimals=0, least=0, nothing=NO_CARBON)
UNCLAIMED = "unattributed"


def _per_million(*, by: str = "") -> str:
    """By currency, and by what else is named."""
    return _price("increase", "$__range", by)


def _price(function: str, window: str, by: str) -> str:
    money, tokens = (f"{function}(goodwatt_{metric}{{{q.ACCOUNTS}}}[{window}])" for metric in (COST, GENERATED))
    return q.price(money, tokens, by=by)


def _margin(by: str) -> str:
    return f"3600 * ({q.rate(REVENUE, by=by)} - {q.rate(COST, by=by)})"


def _cost_per_good(bound: str) -> str:
    """What the servers and models cost that the objective is for, by thousand good requests."""
    concerned = f"on (server, model) goodwatt_slo_requests_total{{{q.judged(bound)}}}"
    cost = f"sum by (currency) (rate(goodwatt_{COST}{{{q.ACCOUNTS}}}[$__rate_interval]) and {concerned})"
    return q.ratio(f"1e3 * {cost}", f"({q.good_rate(bound)})", matching="on () group_left ()")


def _headline() -> list[Panel]:
    return [
        stat(
            "Generated tokens",
            "Tokens generated per second now, over all chosen servers and models.",
            [Query(q.rate(GENERATED))],
            replace(SPEED, nothing="no server tells its tokens"),
            width=6,
        ),
        stat(
            "Tokens per watt",
            "Generated tokens per second for each watt, which is tokens per joule. GPU energy, idle time "
            "included, over the time shown.",
            [Query(q.ratio(q.increase(GENERATED), q.increase(ENERGY)), instant=True)],
            EFFICIENCY,
            width=6,
            to="goodwatt-energy",
        ),
        stat(
            "Cost per million tokens",
            "Money for a million generated tokens over the time shown, idle time included. GPUs that no server claims "
            "are not in it; see Unattributed cost.",
            [Query(_per_million(), "{{currency}}", instant=True)],
            PRICE,
            width=6,
        ),
        stat(
            "Goodput of the SLO",
            "Share of requests that met every threshold over the time shown. Histograms prove a lower and an upper "
            "bound, between which the truth lies; records of requests tell it exactly.",
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


def _bill() -> list[Panel]:
    return [
        stat(
            "Cost per hour",
            "Money spent per hour now on the chosen servers and models, idle time included.",
            [Query(f"3600 * {q.rate(COST, by='currency')}", "{{currency}}")],
            BILL,
        ),
        stat(
            "Margin per hour",
            "What tokens earn per hour now at the configured prices, less what they cost.",
            [Query(_margin("currency"), "{{currency}}", optional=NO_TOKEN_PRICES)],
            replace(BILL, steps=((None, "red"), (0, "green"))),
        ),
        stat(
            "Unattributed cost",
            "Money spent per hour now on GPUs that no server claims, of all chosen instances.",
            [Query(f"3600 * {q.rate('unattributed_cost_total', q.JOBS, by='currency')}", "{{currency}}")],
            BILL,
        ),
        stat(
            "Idle energy",
            "Share of the attributed joules that were spent while no request was served, over the time shown.",
            [Query(q.ratio(q.increase(ENERGY, q.IDLE), q.increase(ENERGY)), instant=True)],
            replace(SHARE, nothing="no GPU is read"),
        ),
        stat(
            "Power",
            "Mean watts now given to the chosen servers and models. GPUs only.",
            [Query(q.rate(ENERGY))],
            Look("watt", nothing="no GPU is read"),
            to="goodwatt-energy",
        ),
        stat(
            "Carbon",
            "Grams of CO2 equivalent per hour now, host and facility factors included.",
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
        nothing="no server tells its tokens",
    )


BOARD = Board(
    "goodwatt-economics",
    "goodwatt / Economics",
    "Tokens, joules, money and goodput of the whole fleet, by model and by server, on one ledger.",
    (JOB, INSTANCE, SERVER, MODEL, SLO),
    (
        *_headline(),
        *_bill(),
        row("Who earns and who burns"),
        _ledger(
            "By model",
            "model",
            (Column("model", "Model", width=250),),
            "Each model over all its servers and the time shown. Tok/J and per million are of generated tokens, "
            "idle time included.",
        ),
        _ledger(
            "By server",
            q.BY_ACCOUNT,
            (Column("server", "Server"), Column("model", "Model", width=240)),
            "Each model on each server over the time shown, idle time included.",
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
            "Generated tokens per joule of GPU energy, idle time included. It rises with load: compare at like load.",
            [Query(q.ratio(q.rate(GENERATED, by=q.BY_ACCOUNT), q.rate(ENERGY, by=q.BY_ACCOUNT)), q.ACCOUNT)],
            EFFICIENCY,
        ),
        timeseries(
            "Tokens by kind",
            "Prompt tokens worked on, prompt tokens found in the prefix cache (nearly free), and generated tokens. An "
            "engine that does not tell the cached ones has them among the former.",
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
            "Share of each server's joules that were spent while no request was served.",
            [Query(q.ratio(q.rate(ENERGY, q.IDLE, by="server"), q.rate(ENERGY, by="server")), "{{server}}")],
            replace(SHARE, nothing="no GPU is read"),
        ),
        row("Money and carbon"),
        timeseries(
            "Cost per million generated tokens",
            "Money for a million tokens, idle time included, by model over all its servers.",
            [
                Query(_price("rate", "$__rate_interval", "model"), "{{model}} {{currency}}"),
            ],
            PRICE,
        ),
        timeseries(
            "Cost per hour",
            "What the chosen servers spend and, on top, what GPUs cost that no server claims.",
            [
                Query(f"3600 * {q.rate(COST, by='server, model, currency')}", q.ACCOUNT + " {{currency}}"),
                Query(
                    f"3600 * {q.rate('unattributed_cost_total', q.JOBS, by='currency')}", UNCLAIMED + " {{currency}}"
                ),
            ],
            replace(BILL, least=0),
            lines=STACKED,
        ),
        timeseries(
            "Margin per hour",
            "What tokens earn at the configured prices, less what they cost. Below zero they cost more.",
            [Query(_margin("model, currency"), "{{model}} {{currency}}", optional=NO_TOKEN_PRICES)],
            BILL,
        ),
        timeseries(
            "Carbon",
            "Grams of CO2 equivalent per hour, host and facility factors included, and what no server claims.",
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
            "Requests that met every threshold of the SLO: at least, at most, and exactly where records of requests "
            "are received.",
            [
                *(Query(q.good_rate(bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS),
                Query(q.good_rate("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
            ],
            Look("reqps", least=0, nothing=NO_OBJECTIVE, overrides=band()),
        ),
        timeseries(
            "Cost per thousand good requests",
            "Money for a thousand requests that met every threshold, of the servers and models that the SLO is for. "
            "The upper bound of good requests gives the least cost.",
            [
                Query(_cost_per_good("upper"), "at least", step=q.SLO_STEP),
                Query(_cost_per_good("lower"), "at most", step=q.SLO_STEP),
                Query(_cost_per_good("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
            ],
            Look(MONEY, least=0, nothing=NO_OBJECTIVE, overrides=band()),
        ),
    ),
)
