"""Bounds on how many requests were good, from histograms that each cover only one latency.

The histograms of a window do not even cover the same requests: TTFT is observed at the first token, TPOT and e2e at
the end. The bounds are on the requests that *finished* in the window. At most `in_flight` of them (requests already
past their first token when the window opened) had their TTFT observed before it; and of the TTFTs observed in it, at
most observed - finished + in_flight belong to requests that did not finish in it. The bounds allow for both.
"""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Marginal, SloEvidence, SloTotals
from goodwatt.model.slo import Cancelled, Errors, Slo, Threshold


def applies(slo: Slo, server: str, model: str) -> bool:
    """Whether an SLO's patterns match this server and model."""
    return any(fnmatchcase(server, p) for p in slo.servers) and any(fnmatchcase(model, p) for p in slo.models)


def evidence_since(start: SloEvidence, now: SloEvidence) -> SloEvidence:
    """Return the evidence of the window from `start` to `now`, with the requests in flight when it opened.

    Another engine that took over the address within the window brought requests in flight with it: they are included.
    """
    return SloEvidence(
        marginals=tuple(
            Marginal(b.certain - a.certain, b.possible - a.possible, b.observed - a.observed)
            for a, b in zip(start.marginals, now.marginals, strict=True)
        ),
        succeeded=now.succeeded - start.succeeded,
        failed=now.failed - start.failed,
        cancelled=now.cancelled - start.cancelled,
        in_flight=start.in_flight + now.adopted - start.adopted,
    )


def slo_totals(slo: Slo, window: SloEvidence) -> SloTotals:
    """Bound the good requests of a window (Frechet-Hoeffding), with success as one of the conditions.

    lower = max(0, sum of certain - (conditions - 1) x finished), upper = min of possible.
    """
    finished = window.succeeded + window.failed + window.cancelled
    ranges = [_range(t, m, finished, window.in_flight) for t, m in zip(slo.thresholds, window.marginals, strict=True)]
    upper = min([window.succeeded, *(high for _, high in ranges)])
    lower = window.succeeded + sum(low for low, _ in ranges) - len(ranges) * finished
    return SloTotals(_eligible(slo, window), min(max(0.0, lower), upper), upper)


def _eligible(slo: Slo, window: SloEvidence) -> float:
    """Successes, and the failed and cancelled requests that the SLO's conventions include."""
    failed = 0.0 if slo.errors is Errors.EXCLUDE else window.failed
    return window.succeeded + failed + (window.cancelled if slo.cancelled is Cancelled.FAIL else 0.0)


def _range(threshold: Threshold, marginal: Marginal, finished: float, in_flight: float) -> tuple[float, float]:
    """The least and most of the finished requests that met one threshold."""
    if threshold.signal is Signal.TTFT:
        others = max(0.0, marginal.observed - finished + in_flight)
        unobserved = max(in_flight, finished - marginal.observed)
    else:
        others = max(0.0, marginal.observed - finished)
        unobserved = max(0.0, finished - marginal.observed)
    return _clamp(marginal.certain - others, finished), _clamp(marginal.possible + unobserved, finished)


def _clamp(value: float, most: float) -> float:
    return min(max(0.0, value), most)


def first_token_gap(slo: Slo, window: SloEvidence) -> float | None:
    """Return first tokens observed in a window minus requests finished in it; None without a TTFT threshold."""
    finished = window.succeeded + window.failed + window.cancelled
    for threshold, marginal in zip(slo.thresholds, window.marginals, strict=True):
        if threshold.signal is Signal.TTFT:
            return marginal.observed - finished
    return None


def add_slo_totals(one: SloTotals, other: SloTotals) -> SloTotals:
    """Add the totals of two windows that do not overlap: bounds of disjoint windows add up."""
    return SloTotals(
        one.eligible + other.eligible, one.good_lower + other.good_lower, one.good_upper + other.good_upper
    )


def extend_evidence(
    start: SloEvidence, marginals: Sequence[Marginal], counts: tuple[float, float, float]
) -> SloEvidence:
    """Add one interval's observations, and its succeeded, failed and cancelled requests, to cumulative evidence."""
    return replace(
        start,
        marginals=tuple(
            Marginal(a.certain + b.certain, a.possible + b.possible, a.observed + b.observed)
            for a, b in zip(start.marginals, marginals, strict=True)
        ),
        succeeded=start.succeeded + counts[0],
        failed=start.failed + counts[1],
        cancelled=start.cancelled + counts[2],
    )
