"""Whether the promised latencies were kept, as bounds and exactly."""

from grafana import queries as q
from grafana.board import JOB, MODEL, SERVER, SLO, Board
from grafana.economics import NO_RECORDS
from grafana.looks import COUNT, LATENCY, RATIO, SHARE, TOKENS_PER_SECOND, band
from grafana.panels import Column, Look, Panel, Query, bars, row, stat, table, timeseries

TTFT, TPOT, E2E = "time_to_first_token_seconds", "time_per_output_token_seconds", "request_duration_seconds"
NO_HISTOGRAM = "the engine publishes no such histogram"
OBJECTIVE = f'max(goodwatt_slo_objective_ratio{{{q.JOBS}, slo="$slo"}})'
BURN_STEPS = ((None, "green"), (1, "orange"), (6, "red"))
BUDGET_STEPS = ((None, "red"), (0, "orange"), (0.25, "green"))


def _budget_left(bound: str) -> str:
    return f"1 - (1 - {q.good_share_shown(bound)}) / (1 - {OBJECTIVE})"


def _latency(title: str, histogram: str, meaning: str) -> Panel:
    shares = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    return timeseries(
        title,
        f"{meaning} Quantiles are interpolated inside buckets: for looking, not for judging.",
        [Query(q.quantile(share, histogram, by="server"), name + " {{server}}") for share, name in shares],
        LATENCY,
        width=8,
    )


def _heat(title: str, histogram: str) -> Panel:
    buckets = q.increase(f"{histogram}_bucket", by="le")
    return bars(
        title,
        "Requests of the time shown in each bucket of the engine's histogram, by the bucket's upper edge in seconds.",
        [Query(buckets, "{{le}}", instant=True, format="heatmap")],
        COUNT,
        width=8,
        height=10,
    )


BOARD = Board(
    "goodwatt-goodput",
    "goodwatt / Goodput and SLO",
    "Which share of requests met every latency threshold: what histograms prove, and what records of requests show.",
    (JOB, SERVER, MODEL, SLO),
    (
        stat("Objective", "Share of requests that was promised to be good.", [Query(OBJECTIVE)], SHARE, width=3),
        stat(
            "Good requests",
            "Share of the requests of the time shown that met every threshold: surely, and at most.",
            [Query(q.good_share_shown(bound), name, instant=True) for bound, name in q.BOUNDS],
            SHARE,
            width=6,
        ),
        stat(
            "Good, exactly",
            "The same from records of single requests, which an OTLP receiver or a proxy gives.",
            [Query(q.good_share_shown("exact"), instant=True, optional=NO_RECORDS)],
            SHARE,
            width=3,
        ),
        stat(
            "Error budget left",
            "Share of the allowed bad requests that is left over the time shown. At most: if the upper bound of good "
            "requests is true; below zero the objective is surely missed. At least: if the lower one is.",
            [
                Query(_budget_left("lower"), "at least", instant=True),
                Query(_budget_left("upper"), "at most", instant=True),
            ],
            Look(RATIO, decimals=0, steps=BUDGET_STEPS),
            width=6,
        ),
        stat(
            "Burn rate, last hour",
            "How much faster than allowed the error budget is spent: surely, by the upper bound of good requests, "
            "and perhaps, by the lower one.",
            [Query(q.burn("upper", "1h"), "surely", True), Query(q.burn("lower", "1h"), "perhaps", True)],
            Look("suffix: x", decimals=1, steps=BURN_STEPS),
            width=6,
        ),
        row("Attainment"),
        timeseries(
            "Good requests, as a band",
            "The truth lies in the band. It is narrow where thresholds lie on bucket edges (goodwatt check names them) "
            "and a line where records of requests are received.",
            [
                *(Query(q.good_share(bound), name) for bound, name in q.BOUNDS),
                Query(q.good_share("exact"), "exact", optional=NO_RECORDS),
                Query(OBJECTIVE, "objective"),
            ],
            Look(RATIO, decimals=1, least=0, most=1, overrides=band()),
            width=16,
            height=10,
            interval=q.SLO_INTERVAL,
        ),
        timeseries(
            "Burn rate, surely",
            "How many times faster than allowed the error budget is spent, by the upper bound of good requests: "
            "what an alert may page for.",
            [Query(q.burn("upper", window), window) for window in ("5m", "30m", "1h", "6h")],
            Look("suffix: x", decimals=1, least=0),
            width=8,
            height=10,
        ),
        timeseries(
            "Requests within each threshold alone",
            "Share of requests within one threshold, whatever the others: the lowest line is the one to work on. Two "
            "bounds differ where a threshold lies inside a bucket.",
            [
                *(Query(q.threshold_share(bound), f"{{{{signal}}}}, {name}") for bound, name in q.BOUNDS),
                Query(q.threshold_share("exact"), "{{signal}}, exact", optional=NO_RECORDS),
            ],
            SHARE,
        ),
        timeseries(
            "Good tokens",
            "Generated tokens per second of requests that met every threshold, and of all that count. Only records of "
            "requests can tell.",
            [
                Query(q.rate("slo_good_tokens_total", q.good("exact")), "good", optional=NO_RECORDS),
                Query(q.rate("slo_tokens_total", q.judged("exact")), "all", optional=NO_RECORDS),
            ],
            Look(TOKENS_PER_SECOND, least=0),
        ),
        table(
            "Thresholds and bounds",
            "Each server and model, over the time shown.",
            [
                Query(q.increase("slo_requests_total", q.judged("lower"), by=q.BY_ACCOUNT), instant=True),
                Query(q.good_share_shown("lower", by=q.BY_ACCOUNT), instant=True),
                Query(q.good_share_shown("upper", by=q.BY_ACCOUNT), instant=True),
                Query(q.good_share_shown("exact", by=q.BY_ACCOUNT), instant=True, optional=NO_RECORDS),
            ],
            (
                Column("server", "Server"),
                Column("model", "Model", width=260),
                Column("Value #A", "Requests", "short"),
                Column("Value #B", "Good, at least", RATIO, 1),
                Column("Value #C", "Good, at most", RATIO, 1),
                Column("Value #D", "Good, exactly", RATIO, 1),
            ),
            width=16,
            height=6,
        ),
        bars(
            "Thresholds of the SLO",
            "Latencies that a good request does not exceed.",
            [Query(f'max by (signal) (goodwatt_slo_threshold_seconds{{{q.JOBS}, slo="$slo"}})', "{{signal}}", True)],
            LATENCY,
            width=8,
            height=6,
        ),
        row("Latency"),
        _latency("Time to first token", TTFT, "From a request's arrival to its first token, queueing included."),
        _latency("Time per output token", TPOT, "Mean time for a token after the first, one observation a request."),
        _latency("Request duration", E2E, "From a request's arrival to its last token."),
        _heat("Time to first token, spread", TTFT),
        _heat("Time per output token, spread", TPOT),
        _heat("Request duration, spread", E2E),
        row("Load"),
        timeseries(
            "Requests by outcome",
            "Requests that ended, per second. Cancelled ones are on neither side of goodput unless configured "
            "otherwise.",
            [Query(q.rate("requests_total", by="outcome"), "{{outcome}}")],
            Look("reqps", decimals=2, least=0),
            width=8,
            stacked=True,
        ),
        timeseries(
            "Requests in the server",
            "Running and waiting now. A queue that stays is load beyond what the server can carry.",
            [
                Query(q.total("requests_running", by="server"), "running {{server}}"),
                Query(q.total("requests_waiting", by="server"), "waiting {{server}}"),
            ],
            COUNT,
            width=8,
        ),
        timeseries(
            "Key-value cache and preemptions",
            "Share of the cache in use in the fullest replica; a preempted request starts over and misses its targets.",
            [
                Query(f"max by (server) (goodwatt_kv_cache_usage_ratio{{{q.ACCOUNTS}}})", "cache {{server}}"),
                Query(
                    f"60 * {q.rate('preemptions_total', by='server')}",
                    "preemptions a minute {{server}}",
                    optional="the engine does not count them",
                ),
            ],
            SHARE,
            width=8,
        ),
        timeseries(
            "Requests of two populations",
            "First tokens seen less requests finished in the window: how far the histograms of an interval "
            "differ in whom they cover. Far from zero, a longer window makes the bounds tighter.",
            [Query(q.total("slo_count_gap_requests", q.OBJECTIVE, by=q.BY_ACCOUNT), q.ACCOUNT)],
            Look("short", decimals=0),
            width=24,
            height=6,
        ),
    ),
)
