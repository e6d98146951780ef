"""Metrics of the inference servers: counters and histograms from the ledger, and the latest gauges.

A server whose data is stale has only `server_up`.
"""

from collections.abc import Callable, Iterator

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import SourceKind
from goodwatt.publish.metrics.row import ACCOUNT_LABEL_NAMES, Kind, Metric, Sample, Stability

_SERVER_LABELS = ("server",)


def _up(snapshot: Snapshot) -> Iterator[Sample]:
    """One sample for each configured or discovered server, stale ones included."""
    for state in snapshot.sources:
        if state.source.kind is SourceKind.SERVER:
            yield (state.source.name,), int(state.up)


def _info(snapshot: Snapshot) -> Iterator[Sample]:
    for server, page in snapshot.servers.items():
        yield (server, page.engine, page.engine_version or "", page.role), 1


def _dropped_lines(snapshot: Snapshot) -> Iterator[Sample]:
    for server, lines in snapshot.ledger.dropped_lines.items():
        if server in snapshot.servers:
            yield (server,), lines


def _gpu_joules(snapshot: Snapshot) -> Iterator[Sample]:
    """Pass the server's own counters on as they are, resets included."""
    for server, page in snapshot.servers.items():
        for uuid, joules in page.gpu_joules.items():
            yield (server, uuid), joules


def _total(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each account: the count of a signal that has no outcomes."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for key, value in snapshot.ledger.counts.items():
            if key.signal is signal and key.account.server in snapshot.servers:
                yield key.account, value

    return samples


def _requests(snapshot: Snapshot) -> Iterator[Sample]:
    for (account, signal, outcome), value in snapshot.ledger.counts.items():
        if signal is Signal.REQUESTS and isinstance(outcome, Outcome) and account.server in snapshot.servers:
            yield (*account, outcome.value), value


def _latest(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each model: the signal's latest gauge."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for server, page in snapshot.servers.items():
            for (gauge, model), value in page.gauges.items():
                if gauge is signal:
                    yield (server, model), value

    return samples


def _histogram(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """One histogram for each account, of everything observed since goodwatt started."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for (account, observed), value in snapshot.ledger.histograms.items():
            if observed is signal and account.server in snapshot.servers:
                yield account, value

    return samples


def _stalled(snapshot: Snapshot) -> Iterator[Sample]:
    for server, seconds in snapshot.stalled_seconds.items():
        yield (server,), seconds


SERVERS = (
    Metric(
        name="server_up",
        kind=Kind.GAUGE,
        unit="",
        help="1 if the last scrape of the inference server succeeded, 0 if it failed.",
        labels=_SERVER_LABELS,
        value=_up,
        stability=Stability.STABLE,
    ),
    Metric(
        name="server_info",
        kind=Kind.INFO,
        unit="",
        help="Engine of the inference server, as recognised from its metrics, and its configured role.",
        labels=("server", "engine", "engine_version", "role"),
        value=_info,
    ),
    Metric(
        name="server_stalled_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Seconds for which requests were in progress and no token, request or latency was counted; 0 otherwise. "
        "Absent for engines that count tokens only when a request ends, or whose gauge of running requests may be old.",
        labels=_SERVER_LABELS,
        value=_stalled,
    ),
    Metric(
        name="server_dropped_lines_total",
        kind=Kind.COUNTER,
        unit="lines",
        help="Malformed lines of the inference server's metrics page, which were skipped.",
        labels=_SERVER_LABELS,
        value=_dropped_lines,
    ),
    Metric(
        name="server_gpu_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="Energy of the whole GPU as counted by the inference server itself. Use it to cross-check "
        "gpu_energy_joules_total of the same uuid; it is not attributed to any model. Resets when the server restarts.",
        labels=("server", "uuid"),
        value=_gpu_joules,
    ),
    Metric(
        name="prompt_tokens_total",
        kind=Kind.COUNTER,
        unit="tokens",
        help="Prompt tokens that the server received, cached ones included.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_total(Signal.PROMPT_TOKENS),
        stability=Stability.STABLE,
    ),
    Metric(
        name="cached_prompt_tokens_total",
        kind=Kind.COUNTER,
        unit="tokens",
        help="Prompt tokens served from the prefix cache. They are also counted in prompt_tokens_total.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_total(Signal.CACHED_PROMPT_TOKENS),
        stability=Stability.STABLE,
    ),
    Metric(
        name="generated_tokens_total",
        kind=Kind.COUNTER,
        unit="tokens",
        help="Tokens that the server generated.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_total(Signal.GENERATED_TOKENS),
        stability=Stability.STABLE,
    ),
    Metric(
        name="requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Finished requests, by outcome.",
        labels=(*ACCOUNT_LABEL_NAMES, "outcome"),
        value=_requests,
        stability=Stability.STABLE,
    ),
    Metric(
        name="preemptions_total",
        kind=Kind.COUNTER,
        unit="preemptions",
        help="Number of times a running request was preempted and requeued.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_total(Signal.PREEMPTIONS),
    ),
    Metric(
        name="requests_running",
        kind=Kind.GAUGE,
        unit="",
        help="Requests that the server is processing now, summed over replicas.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latest(Signal.REQUESTS_RUNNING),
        stability=Stability.STABLE,
    ),
    Metric(
        name="requests_waiting",
        kind=Kind.GAUGE,
        unit="",
        help="Requests in the server's queue now, summed over replicas.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latest(Signal.REQUESTS_WAITING),
        stability=Stability.STABLE,
    ),
    Metric(
        name="kv_cache_usage_ratio",
        kind=Kind.GAUGE,
        unit="ratio",
        help="Share of the KV cache in use now, on the replica where it is fullest.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latest(Signal.KV_CACHE_USAGE),
        stability=Stability.STABLE,
    ),
    Metric(
        name="time_to_first_token_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time from a request's arrival to its first token, as measured by the server.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_histogram(Signal.TTFT),
        stability=Stability.STABLE,
    ),
    Metric(
        name="time_per_output_token_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Mean time per output token after the first; one observation per request.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_histogram(Signal.TPOT),
        stability=Stability.STABLE,
    ),
    Metric(
        name="inter_token_latency_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time between two consecutive tokens of a request; one observation per token or per engine step, "
        "depending on the engine (see its profile).",
        labels=ACCOUNT_LABEL_NAMES,
        value=_histogram(Signal.ITL),
        stability=Stability.STABLE,
    ),
    Metric(
        name="request_duration_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time from a request's arrival to its last token.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_histogram(Signal.E2E),
        stability=Stability.STABLE,
    ),
    Metric(
        name="queue_time_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time that a request spent in the server's queue.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_histogram(Signal.QUEUE_TIME),
        stability=Stability.STABLE,
    ),
)
