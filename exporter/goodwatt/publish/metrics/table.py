"""The table of every metric that goodwatt exposes. A new metric is a new row here, and nothing else.

The collector, the reference in docs/metrics.md and the naming tests all come from it. Help texts are for people who
meet a metric in a graph: what it is, and what it is not.
"""

from goodwatt.derive.window import figures
from goodwatt.model.engine import Signal
from goodwatt.publish.metrics import goodwatt as own
from goodwatt.publish.metrics import ledger, live
from goodwatt.publish.metrics import requests as exact
from goodwatt.publish.metrics import servers as server
from goodwatt.publish.metrics import slo as attainment
from goodwatt.publish.metrics.gpus import GPUS
from goodwatt.publish.metrics.row import About, Kind, Metric, Stability

C, G, H, I = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM, Kind.INFO  # noqa: E741 - four columns of a table
STABLE = Stability.STABLE

SERVER = ("server",)
ACCOUNT = ("server", "model")
SLO = (*ACCOUNT, "slo")

SERVERS = (
    Metric(
        "server_up",
        G,
        "",
        "1 when the latest read of the inference server succeeded, 0 when it did not.",
        SERVER,
        server.up,
        STABLE,
    ),
    Metric(
        "server_info",
        I,
        "",
        "Which engine the inference server runs, as recognised from its metrics.",
        ("server", "engine", "engine_version"),
        server.info,
    ),
    Metric(
        "server_dropped_lines_total",
        C,
        "lines",
        "Malformed lines of the inference server's metrics page that were left out.",
        SERVER,
        server.dropped_lines,
    ),
    Metric(
        "server_gpu_energy_joules_total",
        C,
        "joules",
        "Energy of the whole GPU as the inference server itself counts it: a cross-check for gpu_energy_joules_total "
        "of the same uuid, given to no model. It restarts with the server.",
        ("server", "uuid"),
        server.gpu_joules,
    ),
    Metric(
        "prompt_tokens_total",
        C,
        "tokens",
        "Prompt tokens that the server took in, cached ones included.",
        ACCOUNT,
        server.counter(Signal.PROMPT_TOKENS),
        STABLE,
    ),
    Metric(
        "cached_prompt_tokens_total",
        C,
        "tokens",
        "Prompt tokens that the server found in its prefix cache; part of the prompt tokens.",
        ACCOUNT,
        server.counter(Signal.CACHED_PROMPT_TOKENS),
        STABLE,
    ),
    Metric(
        "generated_tokens_total",
        C,
        "tokens",
        "Tokens that the server generated.",
        ACCOUNT,
        server.counter(Signal.GENERATED_TOKENS),
        STABLE,
    ),
    Metric(
        "requests_total",
        C,
        "requests",
        "Requests that ended, by how they ended.",
        (*ACCOUNT, "outcome"),
        server.requests,
        STABLE,
    ),
    Metric(
        "preemptions_total",
        C,
        "preemptions",
        "Times that a running request was put back into the queue.",
        ACCOUNT,
        server.counter(Signal.PREEMPTIONS),
    ),
    Metric(
        "requests_running",
        G,
        "",
        "Requests that the server is working on now, all replicas together.",
        ACCOUNT,
        server.gauge(Signal.REQUESTS_RUNNING),
        STABLE,
    ),
    Metric(
        "requests_waiting",
        G,
        "",
        "Requests that wait in the server's queue now, all replicas together.",
        ACCOUNT,
        server.gauge(Signal.REQUESTS_WAITING),
        STABLE,
    ),
    Metric(
        "kv_cache_usage_ratio",
        G,
        "ratio",
        "Share of the key-value cache in use now, of the fullest replica.",
        ACCOUNT,
        server.gauge(Signal.KV_CACHE_USAGE),
        STABLE,
    ),
    Metric(
        "time_to_first_token_seconds",
        H,
        "seconds",
        "From a request's arrival to its first token, as the server measured it.",
        ACCOUNT,
        server.histogram(Signal.TTFT),
        STABLE,
    ),
    Metric(
        "time_per_output_token_seconds",
        H,
        "seconds",
        "Mean time for a token after the first, one observation a request.",
        ACCOUNT,
        server.histogram(Signal.TPOT),
        STABLE,
    ),
    Metric(
        "inter_token_latency_seconds",
        H,
        "seconds",
        "Time between two tokens of a request: one observation a token, or a step of the engine (see the profile).",
        ACCOUNT,
        server.histogram(Signal.ITL),
        STABLE,
    ),
    Metric(
        "request_duration_seconds",
        H,
        "seconds",
        "From a request's arrival to its last token.",
        ACCOUNT,
        server.histogram(Signal.E2E),
        STABLE,
    ),
    Metric(
        "queue_time_seconds",
        H,
        "seconds",
        "Time that a request waited in the server's queue.",
        ACCOUNT,
        server.histogram(Signal.QUEUE_TIME),
        STABLE,
    ),
)

REQUESTS = (
    Metric(
        "request_records_total",
        C,
        "records",
        "Requests that ended and whose record counts, by the source that told of them, by how they ended, and by how "
        "the number of their generated tokens is known. Beside requests_total it shows which share has records.",
        (*ACCOUNT, "source", "outcome", "tokens"),
        exact.records,
    ),
    Metric(
        "request_records_dropped_total",
        C,
        "",
        "What arrived as a request's record and was not counted, by reason. A reason that never occurred has no "
        "series.",
        ("source", "reason"),
        exact.dropped,
    ),
    Metric(
        "exact_time_to_first_token_seconds",
        H,
        "seconds",
        "From a request's arrival to its first token, from records of requests that succeeded. Every threshold of an "
        "objective is a bucket's edge.",
        ACCOUNT,
        exact.latency(Signal.TTFT),
    ),
    Metric(
        "exact_time_per_output_token_seconds",
        H,
        "seconds",
        "Mean time for a token after the first, one observation a request of two tokens or more, from records of "
        "requests that succeeded. Every threshold of an objective is a bucket's edge.",
        ACCOUNT,
        exact.latency(Signal.TPOT),
    ),
    Metric(
        "exact_request_duration_seconds",
        H,
        "seconds",
        "From a request's arrival to its end, from records of requests that succeeded. Every threshold of an "
        "objective is a bucket's edge.",
        ACCOUNT,
        exact.latency(Signal.E2E),
    ),
)

LEDGER = (
    Metric(
        "energy_joules_total",
        C,
        "joules",
        "GPU energy given to the model on the server, busy or idle. Host and facility factors are not in it.",
        (*ACCOUNT, "state"),
        ledger.energy,
        STABLE,
    ),
    Metric(
        "cost_total",
        C,
        "",
        "Money spent on the model on the server, idle time included, each interval at its own price.",
        (*ACCOUNT, "component", "currency"),
        ledger.cost,
        STABLE,
    ),
    Metric(
        "revenue_total",
        C,
        "",
        "Money that the tokens of the model on the server earned, each interval's at its own prices. Here kind prompt "
        "leaves out the cached ones. Less cost_total it is the margin.",
        (*ACCOUNT, "kind", "currency"),
        ledger.revenue,
    ),
    Metric(
        "unattributed_cost_total",
        C,
        "",
        "Money spent on GPUs that no server claimed.",
        ("component", "currency"),
        ledger.unattributed_cost,
        STABLE,
    ),
    Metric(
        "carbon_grams_total",
        C,
        "grams",
        "CO2 equivalent of the energy given to the model on the server, host and facility factors included.",
        ACCOUNT,
        ledger.carbon,
    ),
    Metric(
        "unattributed_carbon_grams_total",
        C,
        "grams",
        "CO2 equivalent of the energy that no server claimed, host and facility factors included.",
        (),
        ledger.unattributed_carbon,
    ),
    Metric(
        "closed_accounts_energy_joules_total",
        C,
        "joules",
        "GPU energy once given to servers that were removed so long ago that their own series are gone. Completes the "
        "sum of all joules; not for rates.",
        (),
        ledger.closed_energy,
    ),
    Metric(
        "closed_accounts_cost_total",
        C,
        "",
        "Money once spent on servers that were removed so long ago that their own series are gone; not for rates.",
        ("component", "currency"),
        ledger.closed_cost,
    ),
    Metric(
        "closed_accounts_carbon_grams_total",
        C,
        "grams",
        "CO2 equivalent of the energy once given to servers that were removed so long ago that their own series are "
        "gone; not for rates.",
        (),
        ledger.closed_carbon,
    ),
    Metric(
        "slo_requests_total",
        C,
        "requests",
        "Requests eligible for the SLO: those that succeeded or failed, not cancelled ones, unless its conventions say "
        "otherwise. Do not sum over method: both methods count the same requests.",
        (*SLO, "method"),
        ledger.slo_requests,
    ),
    Metric(
        "slo_good_requests_total",
        C,
        "requests",
        "Requests that met every threshold of the SLO: exact from records, bounds from histograms. Over "
        "a range, subtract slo_possibly_bad_in_flight at its start from the lower bound, and add "
        "slo_possibly_good_in_flight to the upper one.",
        (*SLO, "method", "bound"),
        ledger.slo_good_requests,
    ),
    Metric(
        "slo_possibly_bad_in_flight",
        G,
        "",
        "Upper bound on the requests in flight whose first token may have missed the TTFT threshold: what a range that "
        "starts now takes off its lower bound.",
        SLO,
        ledger.slo_possibly_bad,
    ),
    Metric(
        "slo_possibly_good_in_flight",
        G,
        "",
        "Upper bound on the requests in flight whose first token may have met the TTFT threshold: what a range that "
        "starts now adds to its upper bound.",
        SLO,
        ledger.slo_possibly_good,
    ),
    Metric(
        "slo_threshold_requests_total",
        C,
        "requests",
        "Requests whose latency was seen that this one of the objective's thresholds is for; by records, requests that "
        "count for the objective.",
        (*SLO, "signal", "method"),
        attainment.threshold_requests,
    ),
    Metric(
        "slo_threshold_met_requests_total",
        C,
        "requests",
        "Of slo_threshold_requests_total, those that were within the threshold; by records, that also succeeded.",
        (*SLO, "signal", "method", "bound"),
        attainment.threshold_met,
    ),
    Metric(
        "slo_tokens_total",
        C,
        "tokens",
        "Generated tokens of requests that count for the objective, as far as their number is known.",
        (*SLO, "method"),
        exact.slo_tokens,
    ),
    Metric(
        "slo_good_tokens_total",
        C,
        "tokens",
        "Generated tokens of requests that met every threshold of the objective, as far as their number is known.",
        (*SLO, "method", "bound"),
        exact.slo_good_tokens,
    ),
    Metric(
        "slo_unjudged_requests_total",
        C,
        "requests",
        "Requests with a record that are on neither side of the objective: excluded by its conventions, or without a "
        "latency that it has a threshold for. With slo_requests_total they are all records. A reason that never "
        "occurred has no series.",
        (*SLO, "reason"),
        exact.slo_unjudged,
    ),
    Metric(
        "slo_objective_ratio",
        G,
        "ratio",
        "Share of requests that should be good, as configured.",
        ("slo",),
        own.slo_objective,
    ),
    Metric(
        "slo_threshold_seconds",
        G,
        "seconds",
        "Latency that a good request does not exceed, as configured.",
        ("slo", "signal"),
        own.slo_threshold,
    ),
    Metric(
        "slo_count_gap_requests",
        G,
        "requests",
        "First tokens seen minus requests finished in the window: how far the two populations behind the bounds "
        "differ.",
        SLO,
        live.slo_gap,
    ),
)

LIVE = (
    Metric(
        "live_window_seconds",
        G,
        "seconds",
        "How far the live figures of the model on the server look back: window_seconds once so much was seen, and five "
        "times as far where the engine counts tokens only when a request ends.",
        ACCOUNT,
        live.window,
    ),
    Metric(
        "tokens_per_second",
        G,
        "tokens_per_second",
        "Tokens per second over the window; prompt includes cached_prompt.",
        (*ACCOUNT, "kind"),
        live.tokens_per_second,
    ),
    Metric(
        "attributed_power_watts",
        G,
        "watts",
        "Mean GPU power given to the model on the server over the window, idle time included.",
        ACCOUNT,
        live.watts,
    ),
    Metric(
        "tokens_per_watt",
        G,
        "tokens_per_watt",
        "Tokens per second for each watt over the window, which is tokens per joule; idle joules included. Absent "
        "without tokens.",
        (*ACCOUNT, "kind"),
        live.by_tokens(lambda tokens, rates: figures.tokens_per_watt(tokens, rates.watts)),
    ),
    Metric(
        "busy_tokens_per_watt",
        G,
        "tokens_per_watt",
        "As tokens_per_watt, but over the joules of busy time only.",
        (*ACCOUNT, "kind"),
        live.by_tokens(lambda tokens, rates: figures.tokens_per_watt(tokens, rates.busy_watts)),
    ),
    Metric(
        "joules_per_token",
        G,
        "joules_per_token",
        "Joules for each token over the window, idle joules included. Absent without tokens.",
        (*ACCOUNT, "kind"),
        live.by_tokens(lambda tokens, rates: figures.joules_per_token(tokens, rates.watts)),
    ),
    Metric(
        "cost_per_million_tokens",
        G,
        "",
        "Money for a million tokens over the window, idle time included. Absent without tokens.",
        (*ACCOUNT, "kind", "currency"),
        live.cost_per_million_tokens,
    ),
    Metric(
        "cost_per_hour",
        G,
        "",
        "Money for an hour at the window's rate.",
        (*ACCOUNT, "currency"),
        live.cost_per_hour,
    ),
    Metric(
        "goodput_requests_per_second",
        G,
        "requests_per_second",
        "Good requests per second over the window: bounds from histograms, exact from records.",
        (*SLO, "bound"),
        live.by_good(lambda good, slo, _: figures.goodput(good, slo.seconds)),
    ),
    Metric(
        "goodput_ratio",
        G,
        "ratio",
        "Share of the window's requests that were good: bounds from histograms, exact from records. Absent while no "
        "request counts.",
        (*SLO, "bound"),
        live.by_good(lambda good, slo, _: figures.ratio(good, slo.eligible)),
    ),
    Metric(
        "good_requests_per_joule",
        G,
        "requests_per_joule",
        "Good requests for each joule over the window: bounds from histograms, exact from records; idle joules "
        "included.",
        (*SLO, "bound"),
        live.by_good(lambda good, slo, rates: figures.good_requests_per_joule(good, slo.seconds, rates.watts)),
    ),
    Metric(
        "cost_per_good_request",
        G,
        "",
        "Money for each good request over the window, as bounds of this figure: its lower bound counts most requests "
        "as good. A bound that counts none is absent. Exact from records.",
        (*SLO, "bound", "currency"),
        live.cost_per_good_request,
    ),
    Metric(
        "goodput_tokens_per_second",
        G,
        "tokens_per_second",
        "Generated tokens of good requests per second over the window; only records can tell.",
        (*SLO, "bound"),
        exact.good_tokens(lambda rate, _: rate),
    ),
    Metric(
        "good_tokens_per_joule",
        G,
        "tokens_per_joule",
        "Generated tokens of good requests for each joule over the window, which is token goodput per watt; idle "
        "joules included. Only records can tell.",
        (*SLO, "bound"),
        exact.good_tokens(lambda rate, live_: figures.ratio(rate, live_.rates.watts)),
    ),
    Metric(
        "cost_per_million_good_tokens",
        G,
        "",
        "Money for a million generated tokens of good requests over the window, idle time included. Absent without "
        "such tokens; only records can tell.",
        (*SLO, "bound", "currency"),
        exact.cost_per_million_good_tokens,
    ),
)

SELF = (
    Metric(
        "facility_host_factor_ratio",
        G,
        "ratio",
        "Node energy for each unit of GPU energy, as configured; 1 when it is not.",
        (),
        own.number(lambda s: s.policy.facility.host_factor),
    ),
    Metric(
        "facility_pue_ratio",
        G,
        "ratio",
        "Facility energy for each unit of node energy, as configured; 1 when it is not.",
        (),
        own.number(lambda s: s.policy.facility.pue),
    ),
    Metric(
        "price_per_gpu_hour",
        G,
        "",
        "Price of a GPU for an hour, electricity included, as configured.",
        ("currency",),
        own.price(lambda tariff: tariff.price_per_gpu_hour),
    ),
    Metric(
        "price_per_kwh",
        G,
        "",
        "Price of a kilowatt-hour at the facility's meter, as configured.",
        ("currency",),
        own.price(lambda tariff: tariff.price_per_kwh),
    ),
    Metric(
        "carbon_intensity_grams_per_kwh",
        G,
        "grams_per_kwh",
        "CO2 equivalent of a kilowatt-hour at the facility's meter, as configured.",
        (),
        own.number(lambda s: None if s.policy.carbon is None else s.policy.carbon.grams_per_kwh),
    ),
    Metric(
        "window_seconds",
        G,
        "seconds",
        "Length of the window behind the live figures, and of those in which histograms are judged. Where an engine "
        "counts tokens at the end of a request, live figures look further back: live_window_seconds.",
        (),
        own.number(lambda s: s.policy.window_seconds),
    ),
    Metric(
        "interval_seconds",
        G,
        "seconds",
        "Time between two ticks, in each of which every source is read.",
        (),
        own.number(lambda s: s.policy.interval_seconds),
    ),
    Metric("ticks_total", C, "ticks", "Ticks since start.", (), own.number(lambda s: s.ticks)),
    Metric(
        "tick_duration_seconds",
        G,
        "seconds",
        "How long the previous tick took.",
        (),
        own.number(lambda s: s.tick_seconds),
    ),
    Metric(
        "source_up",
        G,
        "",
        "1 when the latest read of the source succeeded, 0 when it did not.",
        ("source",),
        own.source(lambda _, state: int(state.up)),
        STABLE,
    ),
    Metric(
        "source_info",
        I,
        "",
        "Whether the source is simulated; absent while it cannot be read.",
        ("source", "simulated"),
        own.source_info,
    ),
    Metric(
        "source_age_seconds",
        G,
        "seconds",
        "Time since the source was last read with success; absent before the first.",
        ("source",),
        own.source(own.age_seconds),
        STABLE,
    ),
    Metric(
        "source_read_duration_seconds",
        G,
        "seconds",
        "How long the latest read of the source took.",
        ("source",),
        own.source(lambda _, state: state.duration_seconds),
        STABLE,
    ),
    Metric(
        "source_failures_total",
        C,
        "failures",
        "Reads of the source that failed, by reason. A reason that never occurred has no series.",
        ("source", "reason"),
        own.source_failures,
        STABLE,
    ),
)

GROUPS = (
    ("GPUs", GPUS),
    ("Inference servers", SERVERS),
    ("Requests, one by one", REQUESTS),
    ("Energy, cost, carbon and objectives since start", LEDGER),
    ("Live figures over the window", LIVE),
    ("goodwatt itself", SELF),
)


def table(about: About | None = None) -> tuple[Metric, ...]:
    """Every row, in the order of publication. `about` fills the rows on the program itself."""
    return tuple(row for _, rows in groups(about) for row in rows)


def groups(about: About | None = None) -> tuple[tuple[str, tuple[Metric, ...]], ...]:
    """The rows of `table` under the headings that they belong to."""
    *others, (heading, rows) = GROUPS
    return (*others, (heading, (*_about_rows(about or About()), *rows)))


def _about_rows(about: About) -> tuple[Metric, ...]:
    return (
        Metric(
            "build_info",
            I,
            "",
            "Version of goodwatt, and whether anything simulated stands behind the figures.",
            ("version", "python", "simulated"),
            own.build_info(about),
            STABLE,
        ),
        Metric(
            "config_info",
            I,
            "",
            "Hash of the configuration in force.",
            ("hash",),
            own.config_info(about),
        ),
        Metric(
            "config_last_reload_successful",
            G,
            "",
            "1 when the configuration that was read last is in force, 0 when it was refused and the one before stays.",
            (),
            own.reload_ok(about),
        ),
        Metric(
            "config_last_reload_success_timestamp_seconds",
            G,
            "seconds",
            "Unix time at which the configuration in force was read.",
            (),
            own.reloaded(about),
        ),
    )
