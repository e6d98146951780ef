"""Add pages to the evidence for SLOs: observations within each threshold, and how many requests are in flight."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from goodwatt.derive.histograms import marginal
from goodwatt.derive.page_growth import PageGrowth
from goodwatt.derive.slo.bounds import (
    PageEvidence,
    applies,
    empty_evidence,
    extend_evidence,
    open_tick_totals,
    unseen_first_tokens,
)
from goodwatt.derive.slo.one_token import (
    FinishedRequests,
    correct_for_one_token,
    perhaps_excluded,
    without_excluded,
)
from goodwatt.derive.slo.ttft_at_end import EndedRequests, ended_requests, ttft_at_end
from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, CountKey, FirstTokens, Ledger, Marginal, SloEvidence, SloKey
from goodwatt.model.slo import Slo

_OUTCOMES = tuple(Outcome)  # iterating over the enum itself is slow


def add_evidence(
    ledger: Ledger,
    waiting: Mapping[SloKey, FirstTokens],
    pages: Sequence[PageGrowth],
    slos: Sequence[Slo],
    margins: Mapping[Account, float],
) -> tuple[Ledger, dict[SloKey, FirstTokens]]:
    """Add the evidence of pages, oldest first, for every account on a page and every SLO that applies to it.

    Returns the ledger and the first tokens that wait for the end of their request. A histogram that is not on the page
    adds nothing: some engines write one only after its first observation. Totals are in the ledger once every signal
    that the SLO needs was seen. Method "tick" judges with `margins` the accounts that have one.
    """
    evidence, totals, still_waiting = dict(ledger.evidence), dict(ledger.slos), dict(waiting)
    for growth in pages:
        for account in growth.accounts:
            ended = ended_requests(account, growth, margins[account]) if account in margins else None
            requests = PageRequests(finished_requests(account, growth), in_flight(account, growth.reading), ended)
            for slo in slos:
                if applies(slo, *account):
                    key = SloKey(account, slo.name)
                    before = evidence.get(key) or empty_evidence(slo), still_waiting.get(key) or FirstTokens()
                    evidence[key], still_waiting[key] = _add_page_evidence(before, slo, account, growth, requests)
                    if key in totals or has_every_signal(ledger, slo, account):
                        totals[key] = evidence[key].totals
    return replace(ledger, evidence=evidence, slos=totals), still_waiting


class PageRequests(NamedTuple):
    """An account's requests on one page, whatever the SLO: those that finished since the page before, and in flight.

    `ended` is what the page says of the TTFTs of those that finished; None where it cannot.
    """

    finished: FinishedRequests
    in_flight: float
    ended: EndedRequests | None = None


def _add_page_evidence(
    before: tuple[SloEvidence, FirstTokens], slo: Slo, account: Account, growth: PageGrowth, requests: PageRequests
) -> tuple[SloEvidence, FirstTokens]:
    evidence, waiting = before
    if growth.is_baseline:
        opened = evidence if requests.ended is None else open_tick_totals(evidence, slo)
        return opened, unseen_first_tokens(requests.in_flight)
    return extend_evidence(evidence, waiting, slo, page_evidence(slo, account, growth, requests))


def has_every_signal(ledger: Ledger, slo: Slo, account: Account) -> bool:
    """Whether every signal that the SLO needs was on a page of the account at least once."""
    finishes = any(CountKey(account, Signal.REQUESTS, outcome) in ledger.counts for outcome in (None, *_OUTCOMES))
    return (finishes or (account, Signal.E2E) in ledger.histograms) and all(
        (account, threshold.signal) in ledger.histograms for threshold in slo.thresholds
    )


def page_evidence(slo: Slo, account: Account, growth: PageGrowth, requests: PageRequests) -> PageEvidence:
    """Return what one page adds for one SLO of one account."""
    finished, engine = requests.finished, growth.reading.traits.one_token_tpot
    marginals, doubtful, at_end = [], 0.0, None
    for threshold in slo.thresholds:
        histogram = growth.histograms.get((account, threshold.signal))
        observed = Marginal() if histogram is None else marginal(histogram, threshold.seconds)
        if threshold.signal is Signal.TPOT:
            doubtful = perhaps_excluded(slo, observed, histogram, finished, engine)
            observed = correct_for_one_token(slo, observed, histogram, finished, engine)
        elif threshold.signal is Signal.TTFT and requests.ended is not None:
            at_end = ttft_at_end(requests.ended, threshold.seconds)
        marginals.append(observed)
    counted = without_excluded(slo, finished)
    return PageEvidence(
        marginals=tuple(marginals),
        succeeded=counted.succeeded,
        failed=counted.failed + counted.rejected,
        cancelled=counted.cancelled,
        perhaps_excluded=doubtful,
        in_flight=requests.in_flight,
        ttft_at_end=at_end,
    )


def finished_requests(account: Account, growth: PageGrowth) -> FinishedRequests:
    """Finished requests by outcome. Where an engine counts none, its e2e histogram counts successes."""
    counts = [growth.counts.get(CountKey(account, Signal.REQUESTS, outcome)) for outcome in _OUTCOMES]
    one_token = growth.counts.get(CountKey(account, Signal.ONE_TOKEN_REQUESTS))
    if any(count is not None for count in counts):
        succeeded, failed, cancelled, rejected = (count or 0.0 for count in counts)
        return FinishedRequests(succeeded, failed, cancelled, one_token, rejected)
    e2e = growth.histograms.get((account, Signal.E2E))
    return FinishedRequests(0.0 if e2e is None else e2e.count, 0.0, 0.0, one_token)


def in_flight(account: Account, reading: EngineReading) -> float:
    """Upper bound on the requests that are past their first token and not finished.

    These are the running ones and those preempted back to the queue. Where the gauges do not cover both, it is every
    first token that the engine counted minus every success: still an upper bound, but one that grows with every client
    that disconnects.
    """
    running = reading.gauges.get((Signal.REQUESTS_RUNNING, account.model))
    preempted = _preempted(account, reading)
    if running is None or preempted is None or not reading.traits.running_is_current:
        return _first_tokens_without_success(account, reading)
    return running + preempted


def _preempted(account: Account, reading: EngineReading) -> float | None:
    """Upper bound on the requests preempted back to the queue: at most all that wait, and at most all preemptions."""
    waiting = reading.gauges.get((Signal.REQUESTS_WAITING, account.model))
    ever = [value for series, value in reading.counters.items() if _is(series, Signal.PREEMPTIONS, account)]
    limits = ([] if waiting is None else [waiting]) + ([sum(ever)] if ever else [])
    return min(limits, default=None)


def _first_tokens_without_success(account: Account, reading: EngineReading) -> float:
    first = sum(h.count for series, h in reading.histograms.items() if _is(series, Signal.TTFT, account))
    succeeded = [
        value if series.outcome is Outcome.SUCCESS else 0.0
        for series, value in reading.counters.items()
        if _is(series, Signal.REQUESTS, account)
    ] or [h.count for series, h in reading.histograms.items() if _is(series, Signal.E2E, account)]
    return max(0.0, first - sum(succeeded))


def _is(series: SeriesId, signal: Signal, account: Account) -> bool:
    return series.signal is signal and series.model == account.model
