"""Load panels: requests, queues and caches."""

from grafana import queries as q
from grafana.looks import COUNT, NO_OBJECTIVE, NOT_COUNTED, PER_MINUTE, SHARE
from grafana.overrides import by_name, coloured
from grafana.panels import STACKED, Lines, Look, Panel, Query, timeseries


def load_panels() -> list[Panel]:
    """Return the panels on incoming load and saturation."""
    outcomes = (("success", "green"), ("error", "red"), ("cancelled", "text"))
    return [
        timeseries(
            "Requests by outcome",
            "Finished requests per second. Cancelled ones count as neither good nor bad unless the SLO says otherwise.",
            [Query(q.rate("requests_total", by="outcome"), "{{outcome}}")],
            Look("reqps", least=0, overrides=[by_name(name, coloured(color)) for name, color in outcomes]),
            width=8,
            lines=STACKED,
        ),
        timeseries(
            "Requests in the server",
            "Running and waiting now. A persistent queue means the server is overloaded.",
            [
                Query(q.total("requests_running", by="server"), "running {{server}}"),
                Query(q.total("requests_waiting", by="server"), "waiting {{server}}"),
            ],
            COUNT,
            width=8,
        ),
        timeseries(
            "Key-value cache",
            "Cache usage of the fullest replica. When the cache is full, requests wait or are preempted.",
            [Query(f"max by (server) (goodwatt_kv_cache_usage_ratio{{{q.ACCOUNTS}}})", "{{server}}")],
            SHARE,
            width=8,
        ),
        timeseries(
            "Preemptions",
            "Running requests that were put back into the queue, per minute. They start over, often missing targets.",
            [Query(f"60 * {q.rate('preemptions_total', by='server')}", "{{server}}", optional=NOT_COUNTED)],
            Look(PER_MINUTE, least=0),
            lines=Lines(reach=1),
        ),
        timeseries(
            "Finished requests against first tokens",
            "First tokens minus finished requests in the live window: how far the latency histograms cover different "
            "requests. Far from zero, a longer window gives tighter bounds.",
            [Query(q.total("slo_count_gap_requests", q.OBJECTIVE, by=q.BY_ACCOUNT), q.ACCOUNT)],
            Look("short", nothing=NO_OBJECTIVE),
        ),
    ]
