"""Bounds on good requests that move with every page, and one charge a range for what was in flight when it began.

TPOT and E2E are observed when a request ends, so a page bounds them for the requests that ended since the page before.
TTFT is observed earlier, at the first token. First tokens wait in two pots until an end can be matched with them: one
for those that may have missed the TTFT threshold, one for those that may have met it. Each end takes from the pots what
keeps the bounds safe: `good_lower` grows only by ends that no unmatched bad first token can explain, `good_upper` only
by ends that an unmatched good first token can. docs/goodput.md has the proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from goodwatt.model.engine import Signal
from goodwatt.model.ledger import FirstTokens, Marginal, SloEvidence, SloTotals, TickTotals
from goodwatt.model.slo import Cancelled, Errors, Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEvidence:
    """What one page adds for one SLO.

    `marginals` are in the order of the SLO's thresholds. `perhaps_excluded` bounds how many of the successes the SLO's
    conventions exclude, though the page cannot say which. `in_flight` bounds the requests past their first token and
    not finished at the time of the page. `ttft_at_end` is the TTFT of the requests that ended, where it can be derived.
    """

    marginals: tuple[Marginal, ...] = ()
    succeeded: float = 0.0
    failed: float = 0.0
    cancelled: float = 0.0
    perhaps_excluded: float = 0.0
    in_flight: float = 0.0
    ttft_at_end: Marginal | None = None


def applies(slo: Slo, server: str, model: str) -> bool:
    """Whether an SLO's patterns match this server and model."""
    return any(fnmatchcase(server, p) for p in slo.servers) and any(fnmatchcase(model, p) for p in slo.models)


def empty_evidence(slo: Slo) -> SloEvidence:
    """Return evidence without any observation."""
    return SloEvidence(marginals=tuple(Marginal() for _ in slo.thresholds))


def open_tick_totals(evidence: SloEvidence, slo: Slo) -> SloEvidence:
    """Start the totals of method "tick" at 0 if the SLO has a TTFT threshold and they have not started."""
    has_ttft = any(threshold.signal is Signal.TTFT for threshold in slo.thresholds)
    return replace(evidence, tick=TickTotals()) if has_ttft and evidence.tick is None else evidence


def unseen_first_tokens(in_flight: float) -> FirstTokens:
    """All requests in flight had their first token before anything was read: each of them may be good or bad."""
    return FirstTokens(
        unmatched_bad=in_flight,
        unmatched_good=in_flight,
        unmatched=in_flight,
        bad_in_flight=in_flight,
        good_in_flight=in_flight,
    )


def extend_evidence(
    evidence: SloEvidence, waiting: FirstTokens, slo: Slo, page: PageEvidence
) -> tuple[SloEvidence, FirstTokens]:
    """Return the evidence and the waiting first tokens after one more page. No number of the evidence falls."""
    by_signal = {t.signal: marginal for t, marginal in zip(slo.thresholds, page.marginals, strict=True)}
    first = by_signal.pop(Signal.TTFT, None)
    low, high = _met_at_end(by_signal, page)
    lower, upper = (low, high) if first is None else _met_at_first_token(waiting, first, (low, high), page)
    first_tokens = 0.0 if first is None else first.observed
    grown = SloEvidence(
        marginals=tuple(map(_add, evidence.marginals, page.marginals)),
        totals=_grown(evidence.totals, slo, page, (lower, upper, high), first_tokens),
        tick=_tick_grown(evidence.tick, slo, page, by_signal),
    )
    return grown, waiting if first is None else _still_waiting(waiting, first, low - lower, upper, page)


def _met_at_end(observed: Mapping[Signal, Marginal], page: PageEvidence) -> tuple[float, float]:
    """Bound the successes that met every threshold that is observed when a request ends.

    A success without an observation may be on either side, and any observation may be one of a success.
    """
    succeeded = page.succeeded
    bad = sum(max(marginal.observed, succeeded) - marginal.certain for marginal in observed.values())
    most = [
        marginal.possible
        + max(0.0, succeeded - marginal.observed)
        + (0.0 if signal is Signal.TPOT else page.perhaps_excluded)  # a TPOT bound already allows for them
        for signal, marginal in observed.items()
    ]
    return max(0.0, succeeded - bad), min([succeeded, *most])


def _met_at_first_token(
    waiting: FirstTokens, first: Marginal, at_end: tuple[float, float], page: PageEvidence
) -> tuple[float, float]:
    """Bound the ends that also met the TTFT threshold.

    An end is certainly good only where no possibly bad first token is left to explain it, and possibly good only where
    a possibly good one is, or one that was never observed.
    """
    low, high = at_end
    unobserved = max(0.0, page.succeeded - waiting.unmatched - first.observed)
    lower = low - min(waiting.unmatched_bad + _not_certain(first), low)
    return lower, min(waiting.unmatched_good + first.possible + unobserved + page.perhaps_excluded, high)


def _still_waiting(
    waiting: FirstTokens, first: Marginal, charged: float, met: float, page: PageEvidence
) -> FirstTokens:
    """First tokens without an end after a page: never more than requests in flight, since the others have ended."""
    bad, most = _not_certain(first), page.in_flight
    return FirstTokens(
        unmatched_bad=min(waiting.unmatched_bad + bad - charged, most),
        unmatched_good=min(max(0.0, waiting.unmatched_good + first.possible - met), most),
        unmatched=min(max(0.0, waiting.unmatched + first.observed - page.succeeded), most),
        bad_in_flight=min(waiting.bad_in_flight + bad, most),
        good_in_flight=min(waiting.good_in_flight + first.possible, most),
    )


def _add(one: Marginal, other: Marginal) -> Marginal:
    return Marginal(one.certain + other.certain, one.possible + other.possible, one.observed + other.observed)


def _not_certain(marginal: Marginal) -> float:
    return marginal.observed - marginal.certain


def _grown(
    totals: SloTotals, slo: Slo, page: PageEvidence, good: tuple[float, float, float], first_tokens: float
) -> SloTotals:
    lower, upper, at_end = good
    return SloTotals(
        eligible=totals.eligible + _eligible(slo, page),
        good_lower=totals.good_lower + lower,
        good_upper=totals.good_upper + upper,
        good_at_end=totals.good_at_end + at_end,
        first_tokens=totals.first_tokens + first_tokens,
        finished=totals.finished + page.succeeded + page.failed + page.cancelled,
    )


def _eligible(slo: Slo, page: PageEvidence) -> float:
    failed = 0.0 if slo.errors is Errors.EXCLUDE else page.failed
    return page.succeeded + failed + (page.cancelled if slo.cancelled is Cancelled.FAIL else 0.0)


def _tick_grown(
    totals: TickTotals | None, slo: Slo, page: PageEvidence, at_end: Mapping[Signal, Marginal]
) -> TickTotals | None:
    """Method "tick": all thresholds are judged on the requests that ended, so nothing waits in a pot."""
    if page.ttft_at_end is None:
        return totals
    before = totals or TickTotals()
    low, high = _met_at_end({**at_end, Signal.TTFT: page.ttft_at_end}, page)
    return TickTotals(
        eligible=before.eligible + _eligible(slo, page),
        good_lower=before.good_lower + low,
        good_upper=before.good_upper + high,
    )


def bounds_over_range(start: SloTotals, in_flight: FirstTokens, now: SloTotals) -> SloTotals:
    """Bounds on the requests that ended between two moments.

    Those `in_flight` at the start are charged once, unless their first token is still unmatched: earlier ends were
    matched with theirs before the range began.
    """
    at_end = now.good_at_end - start.good_at_end
    return SloTotals(
        eligible=now.eligible - start.eligible,
        good_lower=max(0.0, now.good_lower - start.good_lower - in_flight.bad_charge),
        good_upper=min(at_end, now.good_upper - start.good_upper + in_flight.good_charge),
        good_at_end=at_end,
        first_tokens=now.first_tokens - start.first_tokens,
        finished=now.finished - start.finished,
    )
