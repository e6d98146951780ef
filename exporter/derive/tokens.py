"""Fold a server's page into the ledger: counters, latency histograms and SLO evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from exporter.derive import goodput, histograms
from exporter.derive.attribution import Activity
from exporter.derive.counters import counter_increases, histogram_increases
from exporter.model.engine import EngineReading, Outcome, Signal
from exporter.model.histogram import Histogram
from exporter.model.ledger import Account, CountKey, Ledger, Marginal, SloEvidence, SloKey
from exporter.model.slo import Slo


@dataclass(frozen=True, slots=True)
class Growth:
    """What one page adds, replicas summed. A signal that the page lacks is absent."""

    counts: Mapping[CountKey, float]
    histograms: Mapping[tuple[Account, Signal], Histogram]


def growth(previous: EngineReading | None, current: EngineReading) -> Growth:
    """What a server counted since its previous page (nothing on its first)."""
    counts: dict[CountKey, float] = {}
    for series, value in counter_increases(previous, current):
        key = CountKey(Account(current.server, series.model), series.signal, series.outcome)
        counts[key] = counts.get(key, 0.0) + value
    merged: dict[tuple[Account, Signal], Histogram] = {}
    for series, grown in histogram_increases(previous, current):
        where = Account(current.server, series.model), series.signal
        merged[where] = histograms.add(merged[where], grown) if where in merged else grown
    return Growth(counts, merged)


def accounts(growth_: Growth) -> tuple[Account, ...]:
    """The accounts of a page, in page order."""
    return tuple(dict.fromkeys(key.account for key in growth_.counts))


def activities(growth_: Growth, reading: EngineReading) -> tuple[Activity, ...]:
    """What each account of a page did since the previous one."""
    return tuple(
        Activity(
            account,
            growth_.counts.get(CountKey(account, Signal.GENERATED_TOKENS), 0.0),
            growth_.counts.get(CountKey(account, Signal.PROMPT_TOKENS), 0.0),
            reading.gauges.get((Signal.REQUESTS_RUNNING, account.model), 0.0),
        )
        for account in accounts(growth_)
    )


def post(ledger: Ledger, reading: EngineReading, grown: Growth, slos: tuple[Slo, ...]) -> Ledger:
    """The ledger with one page's growth added."""
    counts = dict(ledger.counts)
    for key, value in grown.counts.items():
        counts[key] = counts.get(key, 0.0) + value
    totals = dict(ledger.histograms)
    for where, histogram in grown.histograms.items():
        totals[where] = histograms.add(totals[where], histogram) if where in totals else histogram
    dropped = dict(ledger.dropped_lines)
    dropped[reading.server] = dropped.get(reading.server, 0) + reading.dropped_lines
    evidence = dict(ledger.evidence)
    for slo in slos:
        for account in accounts(grown):
            _post_evidence(evidence, slo, account, reading, grown)
    return replace(ledger, counts=counts, histograms=totals, dropped_lines=dropped, evidence=evidence)


def _post_evidence(
    evidence: dict[SloKey, SloEvidence], slo: Slo, account: Account, reading: EngineReading, grown: Growth
) -> None:
    seen = [grown.histograms.get((account, threshold.signal)) for threshold in slo.thresholds]
    finished = _finished(account, grown)
    if finished is None or not goodput.applies(slo, *account) or any(h is None for h in seen):
        return
    marginals = [
        histograms.marginal(histogram, threshold.seconds)
        for histogram, threshold in zip(seen, slo.thresholds, strict=True)
        if histogram is not None
    ]
    key = SloKey(account, slo.name)
    before = evidence.get(key) or SloEvidence(tuple(Marginal() for _ in marginals))
    evidence[key] = replace(goodput.grow(before, marginals, finished), in_flight=_in_flight(account, reading))


def _finished(account: Account, grown: Growth) -> tuple[float, float, float] | None:
    """Succeeded, failed and cancelled requests; an engine that counts none of them is taken by its e2e histogram."""
    counts = [grown.counts.get(CountKey(account, Signal.REQUESTS, outcome)) for outcome in Outcome]
    if any(count is not None for count in counts):
        succeeded, failed, cancelled = (count or 0.0 for count in counts)
        return succeeded, failed, cancelled
    e2e = grown.histograms.get((account, Signal.E2E))
    return None if e2e is None else (e2e.count, 0.0, 0.0)


def _in_flight(account: Account, reading: EngineReading) -> float:
    """At most how many requests are past their first token: the running ones, and those preempted back to the queue."""
    gauges = reading.gauges
    waiting = gauges.get((Signal.REQUESTS_WAITING, account.model), 0.0)
    preempted = sum(
        value
        for series, value in reading.counters.items()
        if series.signal is Signal.PREEMPTIONS and series.model == account.model
    )
    return gauges.get((Signal.REQUESTS_RUNNING, account.model), 0.0) + min(waiting, preempted)
