"""Metrics from request records, for servers that have a fresh record source."""

from collections.abc import Callable, Iterator

from goodwatt.model.engine import Signal
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import ACCOUNT_LABEL_NAMES, Kind, Metric, Sample


def _records(snapshot: Snapshot) -> Iterator[Sample]:
    for (account, source, outcome, tokens), number in snapshot.ledger.records.items():
        if account.server in snapshot.record_sources:
            yield (*account, source.label, outcome.value, tokens.value), number


def _dropped(snapshot: Snapshot) -> Iterator[Sample]:
    for state in snapshot.sources:
        for reason, number in state.dropped.items():
            yield (state.source.label, reason.value), number


def _latency(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """One histogram for each account: latencies of requests that succeeded."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for (account, observed), histogram in snapshot.ledger.latencies.items():
            if observed is signal and account.server in snapshot.record_sources:
                yield account, histogram

    return samples


REQUESTS = (
    Metric(
        name="request_records_total",
        kind=Kind.COUNTER,
        unit="records",
        help="Request records counted, by record source, by the request's outcome, and by where its generated-token "
        "count is from. Divide by requests_total to get the share of requests that have a record.",
        labels=(*ACCOUNT_LABEL_NAMES, "source", "outcome", "tokens"),
        value=_records,
    ),
    Metric(
        name="request_records_dropped_total",
        kind=Kind.COUNTER,
        unit="",
        help="Records that arrived but could not be counted, by reason. A reason that never occurred has no series.",
        labels=("source", "reason"),
        value=_dropped,
    ),
    Metric(
        name="exact_time_to_first_token_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time from a request's arrival to its first token, from records of successful requests. Every SLO "
        "threshold is a bucket boundary.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latency(Signal.TTFT),
    ),
    Metric(
        name="exact_time_per_output_token_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Mean time per output token after the first, from records of successful requests; one observation per "
        "request with at least two tokens. Every SLO threshold is a bucket boundary.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latency(Signal.TPOT),
    ),
    Metric(
        name="exact_request_duration_seconds",
        kind=Kind.HISTOGRAM,
        unit="seconds",
        help="Time from a request's arrival to its end, from records of successful requests. Every SLO threshold is a "
        "bucket boundary.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_latency(Signal.E2E),
    ),
)
