"""Whether the promised latencies were kept, as bounds and exactly."""

from dataclasses import replace
from functools import partial

from grafana import queries as q
from grafana.board import INSTANCE, JOB, MODEL, SERVER, SLO, Board
from grafana.latency import latency_panels
from grafana.load import load_panels
from grafana.looks import (
    EXACT,
    GOOD,
    LATENCY,
    NO_OBJECTIVE,
    NO_RECORDS,
    PER_MINUTE,
    RATIO,
    SPEED,
    TIMES,
    UPPER,
    band,
)
from grafana.overrides import Json, by_name, coloured
from grafana.panels import STACKED, Column, Lines, Look, Panel, Query, bars, row, stat, table, timeseries

NO_EXACT = f"{NO_RECORDS}, or no objective"
SIGNAL_COLORS = {"ttft": "blue", "tpot": "purple", "e2e": "orange"}
BURNING = Look(TIMES, decimals=1, least=0, nothing=NO_OBJECTIVE, steps=((None, "green"), (1, "orange"), (6, "red")))
BUDGET = Look(RATIO, decimals=0, nothing=NO_OBJECTIVE, steps=((None, "red"), (0, "orange"), (0.25, "green")))
VERDICTS = (("missed", "red"), ("cannot be told", "orange"), ("kept", "green"))


def _verdict() -> str:
    """0 where the objective was surely missed, 2 where it was surely kept, 1 where the bounds cannot tell."""
    lower, upper, exact = (
        f"({q.good_share_shown(bound)} >= bool {q.PROMISED})" for bound in ("lower", "upper", "exact")
    )
    by_bounds = f"({lower} + {upper})"
    return f"{by_bounds} != 1 or 2 * {exact} or {by_bounds}"


def _burn(bound: str, window: str) -> str:
    return q.proven(partial(q.burn, window=window), bound)


def _headline() -> list[Panel]:
    return [
        stat(
            "The objective was",
            "Over the time shown: kept if even the lower bound of good requests is at the objective, missed if even "
            "the upper bound is below it. Between them only records of requests can tell.",
            [Query(_verdict(), instant=True)],
            Look("none", nothing=NO_OBJECTIVE, words=VERDICTS),
        ),
        stat(
            "Objective",
            "Share of requests that was promised to be good.",
            [Query(q.PROMISED)],
            replace(GOOD, nothing="no objective is configured"),
            width=3,
        ),
        stat(
            "Good requests",
            "Share of the requests of the time shown that met every threshold: at least and at most, as histograms "
            "prove, and exactly where an OTLP receiver or a proxy gives records of requests.",
            [
                Query(q.good_share_shown("lower"), "at least", instant=True),
                Query(q.good_share_shown("exact"), "exact", instant=True, optional=NO_RECORDS),
                Query(q.good_share_shown("upper"), "at most", instant=True),
            ],
            GOOD,
            width=7,
        ),
        stat(
            "Error budget left",
            "Share of the allowed bad requests that is left over the time shown, at least and at most. If even the "
            "latter is below zero, the objective is surely missed. Of servers without histograms by records, then both "
            "are the same.",
            [Query(q.proven(q.budget_left, bound), name, instant=True) for bound, name in q.BOUNDS],
            BUDGET,
            width=5,
        ),
        stat(
            "Burn rate, last hour",
            "How many times faster than allowed the error budget is spent: surely, by the upper bound of good "
            "requests, and perhaps, by the lower one. Of servers without histograms both are by records of requests.",
            [Query(_burn("upper", "1h"), "surely", True), Query(_burn("lower", "1h"), "perhaps", True)],
            BURNING,
            width=5,
        ),
    ]


def _attainment() -> list[Panel]:
    each = [Query(q.threshold_share(bound), f"{{{{signal}}}}, {name}", step=q.SLO_STEP) for bound, name in q.BOUNDS]
    return [
        timeseries(
            "Good requests, as a band",
            "The truth lies in the band. It is narrow where thresholds lie on bucket edges, which goodwatt check "
            "names. Where records of requests are received, the exact share is the line in it.",
            [
                *(Query(q.good_share(bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS),
                Query(q.good_share("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
                Query(q.PROMISED, "objective", step=q.SLO_STEP),
            ],
            replace(GOOD, overrides=band()),
            height=10,
        ),
        timeseries(
            "Requests within each threshold alone",
            "Share of requests within one threshold, whatever the others: the lowest band is the one to work on. A "
            "band is a line where the threshold lies on a bucket's edge.",
            [*each, Query(q.threshold_share("exact"), "{{signal}}, exact", optional=NO_RECORDS, step=q.SLO_STEP)],
            replace(GOOD, overrides=[one for signal in SIGNAL_COLORS for one in _signal_band(signal)]),
            height=10,
        ),
    ]


def _signal_band(signal: str) -> list[Json]:
    color, lower = coloured(SIGNAL_COLORS[signal]), f"{signal}, at least"
    return [
        by_name(lower, color),
        by_name(f"{signal}, at most", color | {"custom.fillBelowTo": lower, "custom.fillOpacity": 30}),
        by_name(f"{signal}, exact", color | {"custom.lineWidth": 2}),
    ]


def _budget() -> list[Panel]:
    windows = ("5m", "1h", "6h", "3d")
    burning = Look(TIMES, least=0, nothing=NO_OBJECTIVE)
    return [
        timeseries(
            "Error budget left",
            "Share of the allowed bad requests that was left at each moment, over as long a time before it as the time "
            "shown. Below zero the objective is missed.",
            [Query(q.proven(q.budget_left, bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS],
            Look(RATIO, most=1, nothing=NO_OBJECTIVE, overrides=band()),
            width=8,
            lines=Lines(points=100),
        ),
        timeseries(
            "Burn rate, surely",
            "How many times faster than allowed the error budget is spent over each window before, by the upper bound "
            "of good requests: what an alert may page for. At 1 the budget lasts exactly as long as it should.",
            [Query(_burn("upper", window), window, step=q.SLO_STEP) for window in windows],
            burning,
            width=8,
            lines=Lines(points=100),
        ),
        timeseries(
            "Burn rate, perhaps",
            "The same by the lower bound of good requests: what is worth a ticket, since it may or may not be so.",
            [Query(_burn("lower", window), window, step=q.SLO_STEP) for window in windows],
            burning,
            width=8,
            lines=Lines(points=100),
        ),
    ]


def _requests(bound: str) -> str:
    return q.increase("slo_requests_total", q.judged(bound), by=q.BY_ACCOUNT)


def _details() -> list[Panel]:
    share = partial(q.good_share_shown, by=q.BY_ACCOUNT)
    columns = (q.proven(_requests, "lower"), q.proven(share, "lower"), q.proven(share, "upper"))
    return [
        table(
            "Servers and models",
            "Each server and model that the SLO is for, over the time shown.",
            [
                *(Query(column, instant=True) for column in columns),
                Query(q.good_share_shown("exact", by=q.BY_ACCOUNT), instant=True, optional=NO_RECORDS),
            ],
            (
                Column("server", "Server"),
                Column("model", "Model", width=260),
                Column("Value #A", "Requests", "short", 0),
                Column("Value #B", "Good, at least", RATIO, 2),
                Column("Value #D", "Good, exactly", RATIO, 2),
                Column("Value #C", "Good, at most", RATIO, 2),
            ),
            width=16,
            height=6,
            most_first="Requests",
            nothing=NO_OBJECTIVE,
        ),
        bars(
            "Thresholds of the SLO",
            "Latencies that a good request does not exceed.",
            [Query(f'max by (signal) (goodwatt_slo_threshold_seconds{{{q.JOBS}, slo="$slo"}})', "{{signal}}", True)],
            replace(LATENCY, nothing="no objective is configured", overrides=_signal_colors()),
            width=8,
            height=6,
        ),
    ]


def _signal_colors() -> list[Json]:
    return [by_name(signal, coloured(color)) for signal, color in SIGNAL_COLORS.items()]


def _records() -> list[Panel]:
    return [
        timeseries(
            "Good tokens",
            "Generated tokens per second of requests that met every threshold, and of all that count. Only records of "
            "requests can tell.",
            [
                Query(q.rate("slo_good_tokens_total", q.good("exact")), "good", optional=NO_EXACT),
                Query(q.rate("slo_tokens_total", q.judged("exact")), "all", optional=NO_EXACT),
            ],
            replace(SPEED, overrides=[by_name("good", coloured(EXACT)), by_name("all", coloured(UPPER))]),
            width=8,
            height=7,
        ),
        timeseries(
            "Requests with a record",
            "Records of requests over requests that ended. Exact figures are exact of these: below 100 % spans are "
            "sampled, or clients go around the proxy.",
            [
                Query(
                    q.ratio(q.rate("request_records_total", by="server"), q.rate("requests_total", by="server")),
                    "{{server}}",
                    optional=NO_RECORDS,
                    step=q.SLO_STEP,
                )
            ],
            Look(RATIO, least=0, nothing=NO_RECORDS),
            width=8,
            height=7,
        ),
        timeseries(
            "Records that judge nobody",
            "Records per minute that are on neither side of the objective, and why: excluded by its conventions, or "
            "without a latency that it has a threshold for.",
            [
                Query(
                    f"60 * {q.rate('slo_unjudged_requests_total', q.OBJECTIVE, by='reason')}",
                    "{{reason}}",
                    optional="every record was judged, or there are none",
                )
            ],
            Look(PER_MINUTE, least=0),
            width=8,
            height=7,
            lines=STACKED,
        ),
    ]


BOARD = Board(
    "goodwatt-goodput",
    "goodwatt / Goodput and SLO",
    "Which share of requests met every latency threshold: what histograms prove, and what records of requests show.",
    (JOB, INSTANCE, SERVER, MODEL, SLO),
    (
        *_headline(),
        row("Attainment"),
        *_attainment(),
        row("Error budget"),
        *_budget(),
        *_details(),
        row("Latency"),
        *latency_panels(),
        row("Load"),
        *load_panels(),
        row("Exactly, from records of requests"),
        *_records(),
    ),
)
