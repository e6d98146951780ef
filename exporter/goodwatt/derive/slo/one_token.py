"""Requests of one output token under a TPOT threshold: what an objective's convention makes of them in histograms.

They have no time per output token. Some engines observe 0 s for them, others nothing, and an objective lets them pass,
lets them fail or leaves them out. Where the page tells how many ended with one token, the evidence is corrected by
them; where it does not, only the side of the bounds that they could be on gives way.
"""

from dataclasses import replace
from typing import NamedTuple

from goodwatt.model.engine import OneToken, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Marginal
from goodwatt.model.slo import OneTokenOutputs, Slo


class Ends(NamedTuple):
    """Requests that one page shows to have ended. `one_token`: of one output token at most, however they ended."""

    succeeded: float
    failed: float
    cancelled: float
    one_token: float | None = None  # None: the page does not tell

    @property
    def sure(self) -> float:
        """At least so many of one token were successes: failures may be among those that are told."""
        return min(max(0.0, (self.one_token or 0.0) - self.failed - self.cancelled), self.succeeded)


def corrected(slo: Slo, seen: Marginal, histogram: Histogram | None, ends: Ends, engine: OneToken) -> Marginal:
    """One page's observations of TPOT as the objective's convention sees them."""
    if engine is OneToken.SKIPPED:
        return _of_unseen(slo, seen, ends.sure)
    if slo.one_token_outputs is OneTokenOutputs.PASS:
        return seen
    doubtful = _in_lowest_bucket(histogram) if ends.one_token is None else ends.one_token
    gone = ends.sure if slo.one_token_outputs is OneTokenOutputs.EXCLUDE else 0.0
    return Marginal(_less(seen.surely, doubtful), _less(seen.possibly, ends.sure), _less(seen.seen, gone))


def _less(value: float, other: float) -> float:
    return max(0.0, value - other)


def _of_unseen(slo: Slo, seen: Marginal, certain: float) -> Marginal:
    """The histogram lacks them: those that pass are added as good, those that fail as seen and not good."""
    if slo.one_token_outputs is OneTokenOutputs.EXCLUDE:
        return seen
    seen = replace(seen, seen=seen.seen + certain)
    if slo.one_token_outputs is OneTokenOutputs.FAIL:
        return seen
    return replace(seen, surely=seen.surely + certain, possibly=seen.possibly + certain)


def _in_lowest_bucket(histogram: Histogram | None) -> float:
    """At most so many observations were 0 s."""
    if histogram is None:
        return 0.0
    return histogram.counts[0] if histogram.counts else histogram.count


def counted(slo: Slo, ends: Ends) -> Ends:
    """The ends that the objective counts: without the successes that surely are excluded."""
    judged = any(threshold.signal is Signal.TPOT for threshold in slo.thresholds)
    excluded = judged and slo.one_token_outputs is OneTokenOutputs.EXCLUDE
    return ends._replace(succeeded=ends.succeeded - ends.sure) if excluded else ends
