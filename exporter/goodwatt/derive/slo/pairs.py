"""Goodput of prefill/decode pairs: first tokens from the prefill servers of a model, ends from its decode servers.

All of them share one account, that of the decode server that is first by name. The pages of a tick are read one after
the other, so an end may be on its page before its first token is on the other one. Ends therefore wait a tick: then
every first token that belongs to them has been counted (docs/goodput.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from goodwatt.derive.histograms import add_histograms
from goodwatt.derive.page_growth import PageGrowth
from goodwatt.derive.slo.bounds import applies, empty_evidence, extend_evidence, unseen_first_tokens
from goodwatt.derive.slo.histogram_evidence import PageRequests, finished_requests, page_evidence
from goodwatt.model.engine import Role, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, CountKey, FirstTokens, Ledger, SloKey
from goodwatt.model.slo import Slo

_IN_PROGRESS = (Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The servers of one model with roles, between two ticks.

    `ends` is what the decode servers counted in the latest tick, not yet judged. `in_flight` bounds the requests past
    their first token whose end has not been judged.
    """

    account: Account
    ends: PageGrowth
    in_flight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvidence:
    """The ledger, the waiting first tokens and the pairs by model, after a tick."""

    ledger: Ledger
    waiting: Mapping[SloKey, FirstTokens]
    pairs: Mapping[str, Pair]


def add_pair_evidence(before: PairEvidence, pages: Sequence[PageGrowth], slos: Sequence[Slo]) -> PairEvidence:
    """Add a tick's pages of servers with roles, each already reduced to its own share."""
    after = before
    for model in dict.fromkeys(account.model for page in pages for account in page.accounts):
        after = _add_model(after, model, pages, slos)
    return after


def _add_model(before: PairEvidence, model: str, pages: Sequence[PageGrowth], slos: Sequence[Slo]) -> PairEvidence:
    decode = sorted(
        (page for page in pages if page.reading.role is Role.DECODE and _has(page, model)),
        key=lambda page: page.reading.server,
    )
    pair = before.pairs.get(model)
    if pair is None:
        return before if not decode else _opened(before, model, pages, decode, slos)
    first = _merged(pages, model, Signal.TTFT)
    in_flight = max(0.0, pair.in_flight + (first.count if first else 0.0) - _finished(pair.ends))
    judged = replace(pair.ends, histograms=_with(pair.ends.histograms, (pair.account, Signal.TTFT), first))
    requests = PageRequests(finished_requests(pair.account, judged), in_flight)
    evidence, totals, waiting = dict(before.ledger.evidence), dict(before.ledger.slos), dict(before.waiting)
    for slo in (slo for slo in slos if applies(slo, *pair.account)):
        key = SloKey(pair.account, slo.name)
        page = page_evidence(slo, pair.account, judged, requests)
        evidence[key], waiting[key] = extend_evidence(
            evidence.get(key) or empty_evidence(slo), waiting.get(key) or FirstTokens(), slo, page
        )
        if _has_every_signal(before.ledger, slo, model, pages):
            totals[key] = evidence[key].totals
    ends = _ends(pair.account, pages, decode) if decode else _nothing(pair.ends)
    return PairEvidence(
        ledger=replace(before.ledger, evidence=evidence, slos=totals),
        waiting=waiting,
        pairs={**before.pairs, model: Pair(account=pair.account, ends=ends, in_flight=in_flight)},
    )


def _opened(
    before: PairEvidence, model: str, pages: Sequence[PageGrowth], decode: Sequence[PageGrowth], slos: Sequence[Slo]
) -> PairEvidence:
    """Begin with a model's first decode page: each request in progress may have had its first token."""
    account = Account(decode[0].reading.server, model)
    gauges = (page.reading.gauges.get((signal, model), 0.0) for page in pages for signal in _IN_PROGRESS)
    in_flight = sum(gauges)
    opened = {SloKey(account, slo.name): slo for slo in slos if applies(slo, *account)}
    evidence = {key: before.ledger.evidence.get(key) or empty_evidence(slo) for key, slo in opened.items()}
    return replace(
        before,
        ledger=replace(before.ledger, evidence={**before.ledger.evidence, **evidence}),
        waiting={**before.waiting, **dict.fromkeys(opened, unseen_first_tokens(in_flight))},
        pairs={
            **before.pairs,
            model: Pair(account=account, ends=_ends(account, pages, decode), in_flight=in_flight),
        },
    )


def _ends(account: Account, pages: Sequence[PageGrowth], decode: Sequence[PageGrowth]) -> PageGrowth:
    """What all servers of the pair counted at the end of requests, under the pair's account."""
    counts: dict[CountKey, float] = {}
    for page in pages:
        for key, value in page.counts.items():
            if key.account.model == account.model and key.signal in (Signal.REQUESTS, Signal.ONE_TOKEN_REQUESTS):
                joint = key._replace(account=account)
                counts[joint] = counts.get(joint, 0.0) + value
    tpot = _merged(decode, account.model, Signal.TPOT)
    return replace(decode[0], counts=counts, histograms=_with({}, (account, Signal.TPOT), tpot), is_baseline=False)


def _nothing(ends: PageGrowth) -> PageGrowth:
    return replace(ends, counts={}, histograms={})


def _finished(ends: PageGrowth) -> float:
    return sum(value for key, value in ends.counts.items() if key.signal is Signal.REQUESTS)


def _has(page: PageGrowth, model: str) -> bool:
    return any(account.model == model for account in page.accounts)


def _merged(pages: Sequence[PageGrowth], model: str, signal: Signal) -> Histogram | None:
    merged: Histogram | None = None
    for page in pages:
        found = page.histograms.get((Account(page.reading.server, model), signal))
        if found is not None:
            merged = found if merged is None else add_histograms(merged, found)
    return merged


def _with(
    histograms: Mapping[tuple[Account, Signal], Histogram], where: tuple[Account, Signal], one: Histogram | None
) -> Mapping[tuple[Account, Signal], Histogram]:
    return histograms if one is None else {**histograms, where: one}


def _has_every_signal(ledger: Ledger, slo: Slo, model: str, pages: Sequence[PageGrowth]) -> bool:
    """Whether the pair's servers have shown every signal that the SLO needs. None of them has the whole E2E latency."""
    servers = [Account(page.reading.server, model) for page in pages]
    return all(any((server, t.signal) in ledger.histograms for server in servers) for t in slo.thresholds)
