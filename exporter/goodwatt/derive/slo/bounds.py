"""Honest bounds on how many requests were good, from histograms that each saw only one latency.

The histograms of a window do not even cover the same requests: TTFT is observed at the first token, TPOT and e2e at
the end. The bounds are on the requests that *finished* in the window. Of those, at most `in_flight` (requests already
past their first token when the window opened) had their TTFT observed before it; and of the TTFTs observed in it, at
most seen - finished + in_flight belong to requests that did not finish in it. Both corrections are part of the bounds.
"""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Marginal, SloEvidence, SloTotals
from goodwatt.model.slo import Cancelled, Errors, Slo, Threshold


def applies(slo: Slo, server: str, model: str) -> bool:
    """Whether an SLO's patterns name this server and model."""
    return any(fnmatchcase(server, p) for p in slo.servers) and any(fnmatchcase(model, p) for p in slo.models)


def since(start: SloEvidence, now: SloEvidence) -> SloEvidence:
    """The evidence of a window: what came after `start`, with the requests in flight when it opened.

    An engine that took the address over inside the window brought its own requests in flight: they count as well.
    """
    return SloEvidence(
        marginals=tuple(
            Marginal(b.surely - a.surely, b.possibly - a.possibly, b.seen - a.seen)
            for a, b in zip(start.marginals, now.marginals, strict=True)
        ),
        succeeded=now.succeeded - start.succeeded,
        failed=now.failed - start.failed,
        cancelled=now.cancelled - start.cancelled,
        in_flight=start.in_flight + now.adopted - start.adopted,
    )


def totals(slo: Slo, window: SloEvidence) -> SloTotals:
    """Frechet-Hoeffding bounds on the good requests of a window, success being one of the conditions.

    lower = max(0, sum of what surely held - (conditions - 1) x finished), upper = min of what possibly held.
    """
    finished = window.succeeded + window.failed + window.cancelled
    ranges = [_range(t, m, finished, window.in_flight) for t, m in zip(slo.thresholds, window.marginals, strict=True)]
    upper = min([window.succeeded, *(high for _, high in ranges)])
    lower = window.succeeded + sum(low for low, _ in ranges) - len(ranges) * finished
    return SloTotals(_eligible(slo, window), min(max(0.0, lower), upper), upper)


def _eligible(slo: Slo, window: SloEvidence) -> float:
    """Successes, and those failures and cancelled requests that the objective's conventions count."""
    failed = 0.0 if slo.errors is Errors.EXCLUDE else window.failed
    return window.succeeded + failed + (window.cancelled if slo.cancelled is Cancelled.FAIL else 0.0)


def _range(threshold: Threshold, seen: Marginal, finished: float, in_flight: float) -> tuple[float, float]:
    """Between how many and how many of the finished requests met one threshold."""
    if threshold.signal is Signal.TTFT:
        others = max(0.0, seen.seen - finished + in_flight)
        unseen = max(in_flight, finished - seen.seen)
    else:
        others = max(0.0, seen.seen - finished)
        unseen = max(0.0, finished - seen.seen)
    return _clamp(seen.surely - others, finished), _clamp(seen.possibly + unseen, finished)


def _clamp(value: float, most: float) -> float:
    return min(max(0.0, value), most)


def first_token_gap(slo: Slo, window: SloEvidence) -> float | None:
    """First tokens observed in a window minus requests finished in it; None without a TTFT threshold."""
    finished = window.succeeded + window.failed + window.cancelled
    for threshold, seen in zip(slo.thresholds, window.marginals, strict=True):
        if threshold.signal is Signal.TTFT:
            return seen.seen - finished
    return None


def add(one: SloTotals, other: SloTotals) -> SloTotals:
    """Totals of two windows that do not overlap: bounds of disjoint windows add up."""
    return SloTotals(
        one.eligible + other.eligible, one.good_lower + other.good_lower, one.good_upper + other.good_upper
    )


def grow(start: SloEvidence, marginals: Sequence[Marginal], counts: tuple[float, float, float]) -> SloEvidence:
    """Add one interval's observations, and its succeeded, failed and cancelled requests, to cumulative evidence."""
    return replace(
        start,
        marginals=tuple(
            Marginal(a.surely + b.surely, a.possibly + b.possibly, a.seen + b.seen)
            for a, b in zip(start.marginals, marginals, strict=True)
        ),
        succeeded=start.succeeded + counts[0],
        failed=start.failed + counts[1],
        cancelled=start.cancelled + counts[2],
    )
