"""Samples of what requests' records add up to, for servers whose requests a fresh source tells of."""

from collections.abc import Callable, Iterator

from goodwatt.derive.window import figures
from goodwatt.model.engine import Signal
from goodwatt.model.exact_totals import ExactTotals
from goodwatt.model.slo import Bound
from goodwatt.model.snapshot import ExactLive, Snapshot
from goodwatt.publish.metrics.row import Sample

METHOD = "exact"
EXACT = (METHOD, Bound.EXACT.value)

SloLabels = tuple[str, str, str]


def totals(snapshot: Snapshot) -> Iterator[tuple[SloLabels, ExactTotals]]:
    """server, model, slo: everything since start."""
    for (account, slo), counted in snapshot.ledger.exact.items():
        if account.server in snapshot.record_sources:
            yield (*account, slo), counted


def lives(snapshot: Snapshot) -> Iterator[tuple[SloLabels, ExactLive]]:
    """server, model, slo: the latest window."""
    for (account, slo), live in snapshot.exact_live.items():
        if account.server in snapshot.record_sources:
            yield (*account, slo), live


def slo_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, method: generated tokens of eligible requests."""
    for labels, counted in totals(snapshot):
        if counted.tokens is not None:
            yield (*labels, METHOD), counted.tokens


def slo_good_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, method, bound: generated tokens of good requests."""
    for labels, counted in totals(snapshot):
        if counted.good_tokens is not None:
            yield (*labels, *EXACT), counted.good_tokens


def slo_unjudged(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, reason: the reasons seen so far."""
    for labels, counted in totals(snapshot):
        for why, requests in counted.unjudged.items():
            yield (*labels, why.value), requests


def records(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, source, outcome, tokens."""
    for (account, source, outcome, tokens), number in snapshot.ledger.records.items():
        if account.server in snapshot.record_sources:
            yield (*account, source.label, outcome.value, tokens.value), number


def dropped(snapshot: Snapshot) -> Iterator[Sample]:
    """source, reason: the reasons seen so far."""
    for state in snapshot.sources:
        for why, number in state.dropped.items():
            yield (state.source.label, why.value), number


def latency(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model: latencies of requests that succeeded."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for (account, which), histogram in snapshot.ledger.latencies.items():
            if which is signal and account.server in snapshot.record_sources:
                yield account, histogram

    return samples


def good_tokens(
    figure: Callable[[float | None, ExactLive], float | None],
) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model, slo, bound: a figure of good tokens per second."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for labels, live in lives(snapshot):
            value = figure(figures.ratio(live.good_tokens, live.seconds), live)
            if value is not None:
                yield (*labels, Bound.EXACT.value), value

    return samples


def cost_per_million_good_tokens(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, bound, currency."""
    tariff = snapshot.policy.tariff
    for labels, live in lives(snapshot):
        rate = figures.ratio(live.good_tokens, live.seconds)
        price = figures.cost_per_million_tokens(live.rates.cost_per_second, rate)
        if tariff is not None and price is not None:
            yield (*labels, Bound.EXACT.value, tariff.currency), price
