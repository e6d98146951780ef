"""Latency panels: quantiles, heatmaps, and the distribution over the engine's buckets."""

from dataclasses import replace

from grafana import queries as q
from grafana.looks import LATENCY, LOWER, dashed, heat
from grafana.overrides import Json, by_name, coloured
from grafana.panels import Lines, Look, Panel, Query, bars, timeseries

# Title, metric, signal name and colour scale of each latency.
LATENCIES = (
    ("Time to first token", "time_to_first_token_seconds", "ttft", heat(1, 1)),
    ("Time per output token", "time_per_output_token_seconds", "tpot", heat(0, 2)),
    ("Request duration", "request_duration_seconds", "e2e", heat(5, 1)),
)
BEYOND = by_name("+Inf", {"displayName": "slower"})
ONE_ENGINE = "Select servers of one engine: buckets with different edges cannot be summed."
NO_HISTOGRAM = "the engine publishes no such histogram"


def _quantiles(title: str, histogram: str, signal: str) -> Panel:
    shares = ((0.5, "p50", LOWER), (0.95, "p95", "purple"), (0.99, "p99", "red"))
    threshold = f'max(goodwatt_slo_threshold_seconds{{{q.JOBS}, slo="$slo", signal="{signal}"}})'
    colors = [by_name(name, coloured(color)) for _, name, color in shares]
    return timeseries(
        title,
        "Over all selected servers and models, with the SLO's threshold where it has one. Quantiles are interpolated "
        f"within buckets: estimates, not verdicts. {ONE_ENGINE}",
        [
            *(Query(q.quantile(share, histogram), name) for share, name, _ in shares),
            Query(threshold, "threshold", optional="the SLO has no such threshold"),
        ],
        replace(LATENCY, nothing=NO_HISTOGRAM, overrides=[*colors, by_name("threshold", dashed("orange"))]),
        width=8,
        height=9,
    )


def _heat(title: str, histogram: str, colors: list[Json]) -> Panel:
    return timeseries(
        f"{title}, heatmap",
        "Share of requests in each bucket of the engine's histogram: fast ones are green at the bottom, slow ones red "
        f"or violet at the top. The bars below show the colour of each bucket. {ONE_ENGINE}",
        [Query(q.rate(f"{histogram}_bucket", by="le"), "{{le}}", format="heatmap")],
        Look("reqps", least=0, nothing=NO_HISTOGRAM, overrides=[*colors, BEYOND]),
        width=8,
        lines=Lines(stack="percent", legend="none"),
    )


def _distribution(title: str, histogram: str, colors: list[Json]) -> Panel:
    return bars(
        f"{title}, distribution",
        "Requests over the time range in each bucket of the engine's histogram, by the bucket's upper edge in "
        f"seconds. {ONE_ENGINE}",
        [Query(q.increase(f"{histogram}_bucket", by="le"), "{{le}}", instant=True, format="heatmap")],
        Look("short", decimals=0, least=0, nothing=NO_HISTOGRAM, overrides=[*colors, BEYOND]),
        width=8,
        height=12,
        mode="lcd",
    )


def latency_panels() -> list[Panel]:
    """Return three rows of panels with one column per latency."""
    return [
        *(_quantiles(title, histogram, signal) for title, histogram, signal, _ in LATENCIES),
        *(_heat(title, histogram, colors) for title, histogram, _, colors in LATENCIES),
        *(_distribution(title, histogram, colors) for title, histogram, _, colors in LATENCIES),
    ]
