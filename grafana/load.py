"""What the servers are asked to carry: requests, queues and caches."""

from grafana import queries as q
from grafana.looks import COUNT, NO_OBJECTIVE, NOT_COUNTED, PER_MINUTE, SHARE
from grafana.overrides import by_name, coloured
from grafana.panels import STACKED, Lines, Look, Panel, Query, timeseries


def load_panels() -> list[Panel]:
    """How much there is to do, and what does not fit."""
    outcomes = (("success", "green"), ("error", "red"), ("cancelled", "text"))
    return [
        timeseries(
            "Requests by outcome",
            "Requests that ended, per second. Cancelled ones are on neither side of goodput unless configured "
            "otherwise.",
            [Query(q.rate("requests_total", by="outcome"), "{{outcome}}")],
            Look("reqps", least=0, overrides=[by_name(name, coloured(color)) for name, color in outcomes]),
            width=8,
            lines=STACKED,
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
            "Key-value cache",
            "Share of the cache in use in the fullest replica. When it is full, requests wait or are preempted.",
            [Query(f"max by (server) (goodwatt_kv_cache_usage_ratio{{{q.ACCOUNTS}}})", "{{server}}")],
            SHARE,
            width=8,
        ),
        timeseries(
            "Preemptions",
            "Running requests that were put back into the queue, per minute. They start over, and miss their targets.",
            [Query(f"60 * {q.rate('preemptions_total', by='server')}", "{{server}}", optional=NOT_COUNTED)],
            Look(PER_MINUTE, least=0),
            lines=Lines(reach=1),
        ),
        timeseries(
            "Requests of two populations",
            "First tokens seen less requests finished in the window: how far the histograms of an interval "
            "differ in whom they cover. Far from zero, a longer window makes the bounds tighter.",
            [Query(q.total("slo_count_gap_requests", q.OBJECTIVE, by=q.BY_ACCOUNT), q.ACCOUNT)],
            Look("short", nothing=NO_OBJECTIVE),
        ),
    ]
