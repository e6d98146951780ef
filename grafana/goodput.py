"""Dashboard Goodput and SLO: how many requests met the latency targets, as bounds and exactly."""

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
VERDICTS = (("missed", "red"), ("unknown", "orange"), ("met", "green"))


def _verdict() -> str:
    """Return 0 if the objective was certainly missed, 2 if certainly met, 1 if the bounds leave it open."""
    lower, upper, exact = (
        f"({q.good_share_shown(bound)} >= bool {q.OBJECTIVE_RATIO})" for bound in ("lower", "upper", "exact")
    )
    by_bounds = f"({lower} + {upper})"
    return f"{by_bounds} != 1 or 2 * {exact} or {by_bounds}"


def _burn(bound: str, window: str) -> str:
    """What the alerts use, where Prometheus has their rules; otherwise the same from the counters."""
    return f"{q.alerted_burn(bound, window)} or {q.proven(partial(q.burn, window=window), bound)}"


def _headline() -> list[Panel]:
    return [
        stat(
            "Objective met?",
            "Over the time range: met if even the lower bound of good requests reaches the objective, missed if even "
            "the upper bound is below it. In between, only request records can decide.",
            [Query(_verdict(), instant=True)],
            Look("none", nothing=NO_OBJECTIVE, words=VERDICTS),
        ),
        stat(
            "Objective",
            "Target share of good requests.",
            [Query(q.OBJECTIVE_RATIO)],
            replace(GOOD, nothing="no objective is configured"),
            width=3,
        ),
        stat(
            "Good requests",
            "Share of requests over the time range that met every threshold: lower and upper bound proved from "
            "histograms, and the exact share where an OTLP receiver or a proxy delivers request records.",
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
            "Share of the allowed bad requests that is left over the time range, as bounds. If even the upper bound "
            "is below zero, the objective is certainly missed. Servers without histograms use request records; both "
            "bounds are then equal.",
            [Query(q.proven(q.budget_left, bound), name, instant=True) for bound, name in q.BOUNDS],
            BUDGET,
            width=5,
        ),
        stat(
            "Burn rate, last hour",
            "How many times faster than allowed the error budget is spent, as the alerts see it: certain by requests "
            "that are proved bad, possible by those that are not proved good. The worst of the chosen models.",
            [Query(_burn("upper", "1h"), "certain", True), Query(_burn("lower", "1h"), "possible", True)],
            BURNING,
            width=5,
        ),
    ]


def _attainment() -> list[Panel]:
    each = [Query(q.threshold_share(bound), f"{{{{signal}}}}, {name}", step=q.SLO_STEP) for bound, name in q.BOUNDS]
    return [
        timeseries(
            "Good requests, bounds",
            "The true share lies within the band. The band is narrow if thresholds lie on bucket edges, which goodwatt "
            "check lists. The line within it is the exact share, where goodwatt receives request records.",
            [
                *(Query(q.good_share(bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS),
                Query(q.good_share("exact"), "exact", optional=NO_RECORDS, step=q.SLO_STEP),
                Query(q.OBJECTIVE_RATIO, "objective", step=q.SLO_STEP),
            ],
            replace(GOOD, overrides=band()),
            height=10,
        ),
        timeseries(
            "Requests within each threshold",
            "Share of requests within each threshold, regardless of the others: improve the lowest band first. A band "
            "shrinks to a line if the threshold lies on a bucket edge.",
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
            "Share of the allowed bad requests that was left at each point, over a window as long as the time range. "
            "Below zero the objective is missed.",
            [Query(q.proven(q.budget_left, bound), name, step=q.SLO_STEP) for bound, name in q.BOUNDS],
            Look(RATIO, most=1, nothing=NO_OBJECTIVE, overrides=band()),
            width=8,
            lines=Lines(points=100),
        ),
        timeseries(
            "Burn rate, certain",
            "How many times faster than allowed the error budget is spent over each window, by requests that are "
            "proved bad: this can page. At 1 the budget is used up exactly at the end of its period.",
            [Query(_burn("upper", window), window, step=q.SLO_STEP) for window in windows],
            burning,
            width=8,
            lines=Lines(points=100),
        ),
        timeseries(
            "Burn rate, possible",
            "The same by requests that are not proved good: this only opens a ticket.",
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
            "Each server and model that the SLO covers, over the time range.",
            [
                *(Query(column, instant=True) for column in columns),
                Query(q.good_share_shown("exact", by=q.BY_ACCOUNT), instant=True, optional=NO_RECORDS),
            ],
            (
                Column("server", "Server"),
                Column("model", "Model", width=260),
                Column("Value #A", "Requests", "short", 0),
                Column("Value #B", "Good, at least", RATIO, 2),
                Column("Value #D", "Good, exact", RATIO, 2),
                Column("Value #C", "Good, at most", RATIO, 2),
            ),
            width=16,
            height=6,
            most_first="Requests",
            nothing=NO_OBJECTIVE,
        ),
        bars(
            "Thresholds of the SLO",
            "A good request exceeds none of these latencies.",
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
            "Generated tokens per second of requests that met every threshold, and of all eligible requests. Known "
            "only from request records.",
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
            "Request records over finished requests. Exact figures cover only requests with a record: below 100 %, "
            "spans are sampled or clients bypass the proxy.",
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
            "Requests without a verdict",
            "Records per minute that count as neither good nor bad, by reason: excluded by the SLO's settings, or "
            "missing a latency that the SLO limits.",
            [
                Query(
                    f"60 * {q.rate('slo_unjudged_requests_total', q.OBJECTIVE, by='reason')}",
                    "{{reason}}",
                    optional="every record had a verdict, or there are none",
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
    "Share of requests that met every latency threshold: proved from histograms, and exact from request records.",
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
        row("Exact, from request records"),
        *_records(),
    ),
)
