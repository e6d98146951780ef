"""Fold a server's page into the evidence for SLOs: what its histograms say, and how many requests are in flight."""

from collections.abc import Sequence
from dataclasses import replace

from goodwatt.derive import histograms
from goodwatt.derive.page_growth import Growth
from goodwatt.derive.slo import bounds
from goodwatt.derive.slo.one_token import Ends, corrected, counted
from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, CountKey, Ledger, Marginal, SloEvidence, SloKey
from goodwatt.model.slo import Slo


def post(ledger: Ledger, reading: EngineReading, grown: Growth, slos: Sequence[Slo]) -> Ledger:
    """The ledger with one page's evidence added, for every account of the page and every SLO that names it.

    A histogram that is not on the page adds nothing: some engines write one only after its first observation.
    """
    evidence = dict(ledger.evidence)
    for slo in slos:
        for account in grown.accounts:
            if bounds.applies(slo, *account):
                key = SloKey(account, slo.name)
                evidence[key] = _grown(evidence.get(key) or blank(slo), slo, account, reading, grown)
    return replace(ledger, evidence=evidence)


def blank(slo: Slo) -> SloEvidence:
    """Where evidence begins."""
    return SloEvidence(marginals=tuple(Marginal() for _ in slo.thresholds))


def is_complete(ledger: Ledger, slo: Slo, account: Account) -> bool:
    """Whether every signal that the SLO needs was on a page of the account at least once."""
    ends = any(CountKey(account, Signal.REQUESTS, outcome) in ledger.counts for outcome in (None, *Outcome))
    return (ends or (account, Signal.E2E) in ledger.histograms) and all(
        (account, threshold.signal) in ledger.histograms for threshold in slo.thresholds
    )


def _grown(before: SloEvidence, slo: Slo, account: Account, reading: EngineReading, grown: Growth) -> SloEvidence:
    ends = _finished(account, grown)
    marginals = []
    for threshold in slo.thresholds:
        histogram = grown.histograms.get((account, threshold.signal))
        seen = Marginal() if histogram is None else histograms.marginal(histogram, threshold.seconds)
        if threshold.signal is Signal.TPOT:
            seen = corrected(slo, seen, histogram, ends, reading.traits.one_token_tpot)
        marginals.append(seen)
    now = in_flight(account, reading)
    adopted = before.adopted + (now if grown.is_baseline else 0.0)
    return replace(bounds.grow(before, marginals, counted(slo, ends)[:3]), in_flight=now, adopted=adopted)


def _finished(account: Account, grown: Growth) -> Ends:
    """How requests ended; an engine that counts none of them is taken by its e2e histogram."""
    counts = [grown.counts.get(CountKey(account, Signal.REQUESTS, outcome)) for outcome in Outcome]
    one_token = grown.counts.get(CountKey(account, Signal.ONE_TOKEN_REQUESTS))
    if any(count is not None for count in counts):
        succeeded, failed, cancelled = (count or 0.0 for count in counts)
        return Ends(succeeded, failed, cancelled, one_token)
    e2e = grown.histograms.get((account, Signal.E2E))
    return Ends(0.0 if e2e is None else e2e.count, 0.0, 0.0, one_token)


def in_flight(account: Account, reading: EngineReading) -> float:
    """At most how many requests are past their first token and not finished.

    The running ones, and those preempted back to the queue. Where the gauges do not tell, every first token that the
    engine counted and that belongs to no success: a sure limit, but one that grows with every client that hangs up.
    """
    running = reading.gauges.get((Signal.REQUESTS_RUNNING, account.model))
    preempted = _preempted(account, reading)
    if running is None or preempted is None or not reading.traits.running_is_current:
        return _first_tokens_without_success(account, reading)
    return running + preempted


def _preempted(account: Account, reading: EngineReading) -> float | None:
    """At most how many requests wait in the queue again: no more than wait, and than were ever preempted."""
    waiting = reading.gauges.get((Signal.REQUESTS_WAITING, account.model))
    ever = [value for series, value in reading.counters.items() if _is(series, Signal.PREEMPTIONS, account)]
    limits = ([] if waiting is None else [waiting]) + ([sum(ever)] if ever else [])
    return min(limits, default=None)


def _first_tokens_without_success(account: Account, reading: EngineReading) -> float:
    first = sum(h.count for series, h in reading.histograms.items() if _is(series, Signal.TTFT, account))
    ended = [
        value if series.outcome is Outcome.SUCCESS else 0.0
        for series, value in reading.counters.items()
        if _is(series, Signal.REQUESTS, account)
    ] or [h.count for series, h in reading.histograms.items() if _is(series, Signal.E2E, account)]
    return max(0.0, first - sum(ended))


def _is(series: SeriesId, signal: Signal, account: Account) -> bool:
    return series.signal is signal and series.model == account.model
