"""Metrics of the SLOs: configured targets, requests counted against them, and the bounds on good ones.

`method` is histogram, tick or exact. Histogram and tick series need a fresh server, exact ones a fresh record source.
"""

from collections.abc import Callable, Iterator

from goodwatt.model.exact_totals import ExactTotals
from goodwatt.model.ledger import FirstTokens, Marginal, SloKey, TickTotals
from goodwatt.model.slo import Bound, Threshold
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import ACCOUNT_LABEL_NAMES, SLO_LABEL_NAMES, Kind, Metric, Sample

_HISTOGRAM = "histogram"
_TICK = "tick"
_EXACT = "exact"


def _requests(snapshot: Snapshot) -> Iterator[Sample]:
    for (account, slo), totals in snapshot.ledger.slos.items():
        if account.server in snapshot.servers:
            yield (*account, slo, _HISTOGRAM), totals.eligible
    for labels, tick in _tick_totals(snapshot):
        yield (*labels, _TICK), tick.eligible
    for labels, exact in _exact_totals(snapshot):
        yield (*labels, _EXACT), exact.eligible


def _good_requests(snapshot: Snapshot) -> Iterator[Sample]:
    for (account, slo), totals in snapshot.ledger.slos.items():
        if account.server in snapshot.servers:
            yield (*account, slo, _HISTOGRAM, Bound.LOWER.value), totals.good_lower
            yield (*account, slo, _HISTOGRAM, Bound.UPPER.value), totals.good_upper
    for labels, tick in _tick_totals(snapshot):
        yield (*labels, _TICK, Bound.LOWER.value), tick.good_lower
        yield (*labels, _TICK, Bound.UPPER.value), tick.good_upper
    for labels, exact in _exact_totals(snapshot):
        yield (*labels, _EXACT, Bound.EXACT.value), exact.good


def _decided_requests(snapshot: Snapshot) -> Iterator[Sample]:
    """Certainly good and certainly bad ones together."""
    for (account, slo), totals in snapshot.ledger.slos.items():
        if account.server in snapshot.servers:
            yield (*account, slo, _HISTOGRAM), totals.good_lower + totals.eligible - totals.good_upper
    for labels, tick in _tick_totals(snapshot):
        yield (*labels, _TICK), tick.good_lower + tick.eligible - tick.good_upper
    for labels, exact in _exact_totals(snapshot):
        yield (*labels, _EXACT), exact.eligible


def _tick_totals(snapshot: Snapshot) -> Iterator[tuple[tuple[str, str, str], TickTotals]]:
    """Yield (server, model, slo) and the totals by method "tick", where the page has every signal of the SLO."""
    for account, slo in snapshot.ledger.slos:
        tick = snapshot.ledger.evidence[SloKey(account, slo)].tick
        if tick is not None and account.server in snapshot.servers:
            yield (*account, slo), tick


def _tick_margin(snapshot: Snapshot) -> Iterator[Sample]:
    judged = {key.account for key in snapshot.ledger.slos if snapshot.ledger.evidence[key].tick is not None}
    for account, seconds in snapshot.tick_margins.items():
        if account.server in snapshot.servers and account in judged:
            yield account, seconds


def _in_flight(get: Callable[[FirstTokens], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each SLO of a fresh server: what a range that begins now is charged with."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for (account, slo), first_tokens in snapshot.slo_in_flight.items():
            if account.server in snapshot.servers:
                yield (*account, slo), get(first_tokens)

    return samples


def _threshold_requests(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, seen in _marginals(snapshot):
        yield (*labels, _HISTOGRAM), seen.observed
    for labels, exact in _exact_totals(snapshot):
        for threshold in _thresholds(snapshot, labels[2]):
            yield (*labels, threshold.signal.value, _EXACT), exact.eligible


def _threshold_met_requests(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, seen in _marginals(snapshot):
        yield (*labels, _HISTOGRAM, Bound.LOWER.value), seen.certain
        yield (*labels, _HISTOGRAM, Bound.UPPER.value), seen.possible
    for labels, exact in _exact_totals(snapshot):
        for threshold, met in zip(_thresholds(snapshot, labels[2]), exact.met, strict=False):
            yield (*labels, threshold.signal.value, _EXACT, Bound.EXACT.value), met


def _marginals(snapshot: Snapshot) -> Iterator[tuple[tuple[str, ...], Marginal]]:
    """Yield what the histograms prove about each threshold; skip thresholds whose histogram no page has shown."""
    for (account, slo), evidence in snapshot.ledger.evidence.items():
        for threshold, seen in zip(_thresholds(snapshot, slo), evidence.marginals, strict=False):
            if account.server in snapshot.servers and (account, threshold.signal) in snapshot.ledger.histograms:
                yield (*account, slo, threshold.signal.value), seen


def _thresholds(snapshot: Snapshot, slo: str) -> tuple[Threshold, ...]:
    """Return the SLO's thresholds; empty if it is no longer configured."""
    return next((known.thresholds for known in snapshot.policy.slos if known.name == slo), ())


def _exact_totals(snapshot: Snapshot) -> Iterator[tuple[tuple[str, str, str], ExactTotals]]:
    """Yield (server, model, slo) and the totals from request records since start."""
    for (account, slo), totals in snapshot.ledger.exact.items():
        if account.server in snapshot.record_sources:
            yield (*account, slo), totals


def _tokens(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, exact in _exact_totals(snapshot):
        if exact.tokens is not None:
            yield (*labels, _EXACT), exact.tokens


def _good_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, exact in _exact_totals(snapshot):
        if exact.good_tokens is not None:
            yield (*labels, _EXACT, Bound.EXACT.value), exact.good_tokens


def _unjudged_requests(snapshot: Snapshot) -> Iterator[Sample]:
    for labels, exact in _exact_totals(snapshot):
        for reason, requests in exact.unjudged.items():
            yield (*labels, reason.value), requests


def _objective(snapshot: Snapshot) -> Iterator[Sample]:
    for slo in snapshot.policy.slos:
        yield (slo.name, "default" if slo.is_default else "config"), slo.objective


def _threshold_seconds(snapshot: Snapshot) -> Iterator[Sample]:
    for slo in snapshot.policy.slos:
        for threshold in slo.thresholds:
            yield (slo.name, threshold.signal.value), threshold.seconds


def _count_gap(snapshot: Snapshot) -> Iterator[Sample]:
    for (account, slo), live in snapshot.slo_live.items():
        if account.server in snapshot.servers and live.first_tokens_minus_finished is not None:
            yield (*account, slo), live.first_tokens_minus_finished


SLOS = (
    Metric(
        name="slo_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Requests eligible for the SLO: those that succeeded or failed, not cancelled ones, unless its "
        "conventions say otherwise. Do not sum over method: all methods count the same requests.",
        labels=(*SLO_LABEL_NAMES, "method"),
        value=_requests,
    ),
    Metric(
        name="slo_good_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Requests that met every threshold of the SLO: exact from records, bounds from histograms. Over a range, "
        "subtract slo_possibly_bad_in_flight at its start from the histogram's lower bound, and add "
        "slo_possibly_good_in_flight to its upper one. Method tick needs neither; it rests on slo_tick_margin_seconds.",
        labels=(*SLO_LABEL_NAMES, "method", "bound"),
        value=_good_requests,
    ),
    Metric(
        name="slo_decided_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Eligible requests that the method decided: certainly good or certainly bad. The rest lies between the "
        "bounds.",
        labels=(*SLO_LABEL_NAMES, "method"),
        value=_decided_requests,
    ),
    Metric(
        name="slo_tick_margin_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Largest difference that method tick allows between a request's TTFT and its duration without the decode "
        "time. Learned from moments without requests in flight; 0.01 until then.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_tick_margin,
    ),
    Metric(
        name="slo_possibly_bad_in_flight",
        kind=Kind.GAUGE,
        unit="",
        help="Upper bound on requests in flight whose first token may have missed the TTFT threshold, without those "
        "that the lower bound still waits for. Subtract it from the lower bound of a range that starts now.",
        labels=SLO_LABEL_NAMES,
        value=_in_flight(lambda first_tokens: first_tokens.bad_charge),
    ),
    Metric(
        name="slo_possibly_good_in_flight",
        kind=Kind.GAUGE,
        unit="",
        help="Upper bound on requests in flight whose first token may have met the TTFT threshold, without those "
        "that the upper bound still waits for. Add it to the upper bound of a range that starts now.",
        labels=SLO_LABEL_NAMES,
        value=_in_flight(lambda first_tokens: first_tokens.good_charge),
    ),
    Metric(
        name="slo_threshold_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Requests measured against this one threshold of the SLO. From histograms: all observations of its "
        "latency; from records: eligible requests.",
        labels=(*SLO_LABEL_NAMES, "signal", "method"),
        value=_threshold_requests,
    ),
    Metric(
        name="slo_threshold_met_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Requests of slo_threshold_requests_total that met the threshold; from records, only successful ones.",
        labels=(*SLO_LABEL_NAMES, "signal", "method", "bound"),
        value=_threshold_met_requests,
    ),
    Metric(
        name="slo_tokens_total",
        kind=Kind.COUNTER,
        unit="tokens",
        help="Generated tokens of eligible requests whose token count is known.",
        labels=(*SLO_LABEL_NAMES, "method"),
        value=_tokens,
    ),
    Metric(
        name="slo_good_tokens_total",
        kind=Kind.COUNTER,
        unit="tokens",
        help="Generated tokens of requests that met every threshold of the SLO and whose token count is known.",
        labels=(*SLO_LABEL_NAMES, "method", "bound"),
        value=_good_tokens,
    ),
    Metric(
        name="slo_unjudged_requests_total",
        kind=Kind.COUNTER,
        unit="requests",
        help="Requests with a record but no verdict: excluded by the SLO's conventions, or lacking a latency it has a "
        "threshold for. Together with slo_requests_total they are all records. A reason that never occurred has no "
        "series.",
        labels=(*SLO_LABEL_NAMES, "reason"),
        value=_unjudged_requests,
    ),
    Metric(
        name="slo_objective_ratio",
        kind=Kind.GAUGE,
        unit="ratio",
        help='Share of requests that should be good. origin="default": no SLO is configured; this one never alerts.',
        labels=("slo", "origin"),
        value=_objective,
    ),
    Metric(
        name="slo_threshold_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Configured maximum latency of a good request.",
        labels=("slo", "signal"),
        value=_threshold_seconds,
    ),
    Metric(
        name="slo_count_gap_requests",
        kind=Kind.GAUGE,
        unit="requests",
        help="First tokens minus finished requests over the window: how far apart the two populations behind the "
        "bounds are.",
        labels=SLO_LABEL_NAMES,
        value=_count_gap,
    ),
)
