"""Apply an SLO's convention for one-token outputs to a TPOT histogram.

A request with one output token has no time per output token. Some engines observe 0 s then, others nothing, and an
SLO lets it pass, lets it fail or excludes it. Where the page counts requests that finished with one token, that
count corrects the observations. Where it does not, only the bound that such requests could affect is widened.
"""

from dataclasses import replace
from typing import NamedTuple

from goodwatt.model.engine import OneToken, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Marginal
from goodwatt.model.slo import OneTokenOutputs, Slo


class FinishedRequests(NamedTuple):
    """Requests that finished between two pages.

    `one_token` counts those with at most one output token and any outcome; None where the page does not count
    them. `rejected` requests were refused at admission and are in no histogram.
    """

    succeeded: float
    failed: float
    cancelled: float
    one_token: float | None = None
    rejected: float = 0.0

    @property
    def one_token_successes(self) -> float:
        """Lower bound: every failed or cancelled request may be among the one-token requests."""
        return min(max(0.0, (self.one_token or 0.0) - self.failed - self.cancelled), self.succeeded)


def correct_for_one_token(
    slo: Slo, observed: Marginal, histogram: Histogram | None, finished: FinishedRequests, engine: OneToken
) -> Marginal:
    """Return one page's TPOT observations as the SLO's convention counts them."""
    certain = finished.one_token_successes
    if engine is OneToken.SKIPPED:
        return _add_skipped(slo, observed, finished)
    if slo.one_token_outputs is OneTokenOutputs.PASS:
        return observed
    doubtful = _in_lowest_bucket(histogram) if finished.one_token is None else finished.one_token
    excluded = certain if slo.one_token_outputs is OneTokenOutputs.EXCLUDE else 0.0
    return Marginal(
        _less(observed.certain, doubtful), _less(observed.possible, certain), _less(observed.observed, excluded)
    )


def _less(value: float, other: float) -> float:
    return max(0.0, value - other)


def _add_skipped(slo: Slo, observed: Marginal, finished: FinishedRequests) -> Marginal:
    """The histogram lacks them: add those that pass as good ones, and those that fail as observed but not good."""
    successes = finished.one_token_successes
    if slo.one_token_outputs is not OneTokenOutputs.PASS:
        observed = replace(observed, certain=_less(observed.certain, _hidden(observed, finished)))
    if slo.one_token_outputs is OneTokenOutputs.EXCLUDE:
        return observed
    observed = replace(observed, observed=observed.observed + successes)
    if slo.one_token_outputs is OneTokenOutputs.FAIL:
        return observed
    return replace(observed, certain=observed.certain + successes, possible=observed.possible + successes)


def _hidden(observed: Marginal, finished: FinishedRequests) -> float:
    """Upper bound on the skipped successes in whose place the histogram may show a failure that was fast enough."""
    successes = finished.succeeded
    unobserved = _less(successes + finished.failed + finished.cancelled, observed.observed)
    most = min(successes, unobserved, successes if finished.one_token is None else finished.one_token)
    return _less(most, max(finished.one_token_successes, successes - observed.observed))


def _in_lowest_bucket(histogram: Histogram | None) -> float:
    """Upper bound on the observations of 0 s."""
    if histogram is None:
        return 0.0
    return histogram.counts[0] if histogram.counts else histogram.count


def without_excluded(slo: Slo, finished: FinishedRequests) -> FinishedRequests:
    """Return the requests that the SLO counts: all but the successes that its convention certainly excludes."""
    has_tpot = any(threshold.signal is Signal.TPOT for threshold in slo.thresholds)
    excludes = has_tpot and slo.one_token_outputs is OneTokenOutputs.EXCLUDE
    return finished._replace(succeeded=finished.succeeded - finished.one_token_successes) if excludes else finished


def perhaps_excluded(
    slo: Slo, observed: Marginal, histogram: Histogram | None, finished: FinishedRequests, engine: OneToken
) -> float:
    """Upper bound on the counted successes that the SLO excludes although the page cannot say which.

    They count as eligible, so the upper bound has to count them as good; otherwise the share would be too low.
    `observed` and `histogram` are this page's TPOT.
    """
    if slo.one_token_outputs is not OneTokenOutputs.EXCLUDE:
        return 0.0
    if finished.one_token is not None:
        most = finished.one_token
    elif engine is OneToken.SKIPPED:
        most = finished.succeeded + finished.failed + finished.cancelled - observed.observed
    else:
        most = _in_lowest_bucket(histogram)
    return _less(min(most, finished.succeeded), finished.one_token_successes)
