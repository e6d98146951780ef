"""Samples of single thresholds: how many requests were seen, and how many of them met it."""

from collections.abc import Iterator

from goodwatt.model.ledger import Marginal
from goodwatt.model.slo import Bound, Threshold
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics import requests as exact
from goodwatt.publish.metrics.row import Sample

HISTOGRAM_METHOD = "histogram"


def threshold_requests(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, signal, method."""
    for labels, seen in _seen(snapshot):
        yield (*labels, HISTOGRAM_METHOD), seen.observed
    for labels, counted in exact.totals(snapshot):
        for threshold in _thresholds(snapshot, labels[2]):
            yield (*labels, threshold.signal.value, exact.METHOD), counted.eligible


def threshold_met(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, signal, method, bound."""
    for labels, seen in _seen(snapshot):
        yield (*labels, HISTOGRAM_METHOD, Bound.LOWER.value), seen.certain
        yield (*labels, HISTOGRAM_METHOD, Bound.UPPER.value), seen.possible
    for labels, counted in exact.totals(snapshot):
        for threshold, met in zip(_thresholds(snapshot, labels[2]), counted.met, strict=False):
            yield (*labels, threshold.signal.value, *exact.EXACT), met


def _seen(snapshot: Snapshot) -> Iterator[tuple[tuple[str, ...], Marginal]]:
    """What histograms saw of each threshold; nothing of one whose histogram was on no page."""
    for (account, slo), evidence in snapshot.ledger.evidence.items():
        for threshold, seen in zip(_thresholds(snapshot, slo), evidence.marginals, strict=False):
            if account.server in snapshot.servers and (account, threshold.signal) in snapshot.ledger.histograms:
                yield (*account, slo, threshold.signal.value), seen


def _thresholds(snapshot: Snapshot, slo: str) -> tuple[Threshold, ...]:
    """None of an objective that is no longer configured."""
    return next((known.thresholds for known in snapshot.policy.slos if known.name == slo), ())
