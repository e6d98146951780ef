"""What tokens cost, in money and in energy, and how much of it was within the objective."""

from grafana import queries as q
from grafana.board import JOB, MODEL, SERVER, SLO, Board
from grafana.looks import EFFICIENCY, MONEY, PRICE, RATIO, SHARE, TOKENS, TOKENS_PER_JOULE, TOKENS_PER_SECOND, band
from grafana.panels import Column, Look, Query, bars, row, stat, table, timeseries

GENERATED, ENERGY, COST = "generated_tokens_total", "energy_joules_total", "cost_total"
NO_RECORDS = "no records of requests"  # neither otlp nor a proxy is configured
NO_PRICES = "no prices of tokens are configured"
IDLE = f'{q.ACCOUNTS}, state="idle"'


def _cost_per_good(bound: str) -> str:
    cost = q.rate(COST, by="currency")
    return f"1e3 * {cost} / on () group_left () ({q.rate('slo_good_requests_total', q.good(bound))} > 0)"


BOARD = Board(
    "goodwatt-economics",
    "goodwatt / Economics",
    "Tokens, joules, money and goodput of the whole fleet, by model and by server, on one ledger.",
    (JOB, SERVER, MODEL, SLO),
    (
        stat(
            "Generated tokens",
            "Tokens generated per second now, over all chosen servers and models.",
            [Query(q.rate(GENERATED))],
            Look(TOKENS_PER_SECOND, decimals=1),
            graph=True,
        ),
        stat(
            "Tokens per watt",
            "Generated tokens per second for each watt, which is tokens per joule. GPU energy, idle time "
            "included, over the time shown.",
            [Query(f"{q.increase(GENERATED)} / {q.increase(ENERGY)}", instant=True)],
            EFFICIENCY,
        ),
        stat(
            "Cost per million tokens",
            "Money for a million generated tokens over the time shown, idle time included. GPUs that no server claims "
            "are not in it; see Unattributed.",
            [
                Query(
                    f"1e6 * {q.increase(COST, by='currency')} / on () group_left () {q.increase(GENERATED)}",
                    "{{currency}}",
                    instant=True,
                )
            ],
            PRICE,
        ),
        stat(
            "Goodput of the SLO",
            "Share of requests that met every threshold over the time shown. Histograms prove only a lower and "
            "an upper bound; the truth lies between.",
            [Query(q.good_share_shown(bound), name, instant=True) for bound, name in q.BOUNDS],
            SHARE,
            width=6,
        ),
        stat(
            "Cost per hour",
            "Money spent per hour now on the chosen servers and models, idle time included.",
            [Query(f"3600 * {q.rate(COST, by='currency')}", "{{currency}}")],
            Look(MONEY, decimals=2),
            width=3,
        ),
        stat(
            "Idle energy",
            "Share of the attributed joules that were spent while no request was served, over the time shown.",
            [Query(f"{q.increase(ENERGY, IDLE)} / {q.increase(ENERGY)}", instant=True)],
            SHARE,
            width=3,
        ),
        row("Efficiency"),
        timeseries(
            "Generated tokens per second",
            "By server and model.",
            [Query(q.rate(GENERATED, by=q.BY_ACCOUNT), q.ACCOUNT)],
            Look(TOKENS_PER_SECOND, least=0),
        ),
        timeseries(
            "Tokens per watt",
            "Generated tokens per joule of GPU energy, idle time included. It rises with load: compare at like load.",
            [Query(f"{q.rate(GENERATED, by=q.BY_ACCOUNT)} / {q.rate(ENERGY, by=q.BY_ACCOUNT)}", q.ACCOUNT)],
            EFFICIENCY,
        ),
        timeseries(
            "Cost per million generated tokens",
            "Money for a million tokens, idle time included, by model over all its servers.",
            [
                Query(
                    f"1e6 * {q.rate(COST, by='model, currency')} / on (model) group_left () "
                    f"{q.rate(GENERATED, by='model')}",
                    "{{model}} {{currency}}",
                )
            ],
            PRICE,
        ),
        timeseries(
            "Cost per hour",
            "What the chosen servers spend and, on top, what GPUs cost that no server claims.",
            [
                Query(f"3600 * {q.rate(COST, by='server, model, currency')}", q.ACCOUNT + " {{currency}}"),
                Query(
                    f"3600 * {q.rate('unattributed_cost_total', q.JOBS, by='currency')}", "unattributed {{currency}}"
                ),
            ],
            Look(MONEY, decimals=2, least=0),
            stacked=True,
        ),
        row("Goodput"),
        timeseries(
            "Good requests per second",
            "Requests that met every threshold of the SLO: at least, at most, and exactly where records of requests "
            "are received.",
            [
                *(Query(q.rate("slo_good_requests_total", q.good(bound)), name) for bound, name in q.BOUNDS),
                Query(q.rate("slo_good_requests_total", q.good("exact")), "exact", optional=NO_RECORDS),
            ],
            Look("reqps", decimals=2, least=0, overrides=band()),
            interval=q.SLO_INTERVAL,
        ),
        timeseries(
            "Cost per thousand good requests",
            "Money for a thousand requests that met every threshold. The upper bound of good requests gives the least "
            "cost.",
            [
                Query(_cost_per_good("upper"), "at least {{currency}}"),
                Query(_cost_per_good("lower"), "at most {{currency}}"),
                Query(_cost_per_good("exact"), "exact {{currency}}", optional=NO_RECORDS),
            ],
            Look(MONEY, decimals=4, least=0),
            interval=q.SLO_INTERVAL,
        ),
        row("Where it goes"),
        table(
            "Models and servers",
            "Over the time shown. Tokens per joule and cost per million are of generated tokens, idle time included.",
            [
                Query(q.increase(GENERATED, by=q.BY_ACCOUNT), instant=True),
                Query(q.increase("prompt_tokens_total", by=q.BY_ACCOUNT), instant=True),
                Query(q.increase(ENERGY, by=q.BY_ACCOUNT), instant=True),
                Query(
                    f"{q.increase(GENERATED, by=q.BY_ACCOUNT)} / {q.increase(ENERGY, by=q.BY_ACCOUNT)}", instant=True
                ),
                Query(q.increase(COST, by=q.BY_ACCOUNT), instant=True),
                Query(
                    f"1e6 * {q.increase(COST, by=q.BY_ACCOUNT)} / {q.increase(GENERATED, by=q.BY_ACCOUNT)}",
                    instant=True,
                ),
                Query(q.good_share_shown("lower", by=q.BY_ACCOUNT), instant=True),
                Query(q.good_share_shown("upper", by=q.BY_ACCOUNT), instant=True),
            ],
            (
                Column("server", "Server"),
                Column("model", "Model", width=260),
                Column("Value #A", "Generated", TOKENS, 1),
                Column("Value #B", "Prompt", TOKENS, 1),
                Column("Value #C", "Energy", "joule", 1),
                Column("Value #D", "Per joule", TOKENS_PER_JOULE, 2),
                Column("Value #E", "Cost", MONEY, 4),
                Column("Value #F", "Cost per million", MONEY, 3),
                Column("Value #G", "Good, at least", RATIO, 1),
                Column("Value #H", "Good, at most", RATIO, 1),
            ),
            height=6,
        ),
        timeseries(
            "Tokens by kind",
            "Prompt tokens worked on, prompt tokens found in the prefix cache (nearly free), and generated tokens.",
            [
                Query(
                    f"{q.rate('prompt_tokens_total')} - ({q.rate('cached_prompt_tokens_total')} or vector(0))", "prompt"
                ),
                Query(q.rate("cached_prompt_tokens_total"), "cached prompt", optional="the engine does not count them"),
                Query(q.rate(GENERATED), "generated"),
            ],
            Look(TOKENS_PER_SECOND, least=0),
            stacked=True,
        ),
        bars(
            "Idle share of energy",
            "Share of each server's joules that were spent while no request was served, over the time shown.",
            [
                Query(
                    f"{q.increase(ENERGY, IDLE, by='server')} / {q.increase(ENERGY, by='server')}",
                    "{{server}}",
                    instant=True,
                )
            ],
            SHARE,
        ),
        row("Margin and carbon"),
        timeseries(
            "Margin per hour",
            "Revenue at the configured token prices, less cost. Below zero the tokens cost more than they earn.",
            [
                Query(
                    f"3600 * ({q.rate('revenue_total', by='model, currency')} - {q.rate(COST, by='model, currency')})",
                    "{{model}} {{currency}}",
                    optional=NO_PRICES,
                )
            ],
            Look(MONEY, decimals=2),
        ),
        timeseries(
            "Carbon",
            "Grams of CO2 equivalent per hour, host and facility factors included, and what no server claims.",
            [
                Query(f"3600 * {q.rate('carbon_grams_total', by=q.BY_ACCOUNT)}", q.ACCOUNT),
                Query(f"3600 * {q.rate('unattributed_carbon_grams_total', q.JOBS)}", "unattributed"),
            ],
            Look("suffix: g/h", decimals=1, least=0),
            stacked=True,
        ),
    ),
)
