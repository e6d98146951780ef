"""Derive the TTFT of the requests that ended between two pages from what the engine observes at their end.

A request's queue, prefill and decode times and its duration are observed together when it ends. The engine measures
the duration in its front end and the others in its core, so `E2E - decode` is the TTFT up to a margin. The margin is
learned (tick_margin.py), not proved: what follows from it has a method of its own and is never added to the bounds.
"""

from math import floor
from typing import NamedTuple

from goodwatt.derive.histograms import marginal, sum_is_possible
from goodwatt.derive.page_growth import PageGrowth
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, Marginal

_ROUNDING_SECONDS = 1e-6  # of the difference of two long sums


class EndedRequests(NamedTuple):
    """Requests that ended between two pages, and limits on the sum of their TTFTs in seconds.

    `parts` are their queue and prefill times, none of which exceeds the TTFT. By default only the number is known.
    """

    number: float
    least: float = 0.0
    most: float | None = None
    parts: tuple[Histogram, ...] = ()


def ended_requests(account: Account, growth: PageGrowth, margin: float) -> EndedRequests:
    """Return the requests that ended, with what can be derived of their TTFTs.

    Counts that disagree, and sums that the observations cannot have, were read during an update and are ignored.
    """
    duration = growth.histograms.get((account, Signal.E2E))
    number = 0.0 if duration is None else duration.count
    decode = _observed(account, growth, Signal.DECODE_TIME, number)
    if duration is None or not number or decode is None or not _in_step(account, growth.reading):
        return EndedRequests(number)
    if _observed(account, growth, Signal.E2E, number) is None:
        return EndedRequests(number)
    observed = (_observed(account, growth, signal, number) for signal in (Signal.QUEUE_TIME, Signal.PREFILL_TIME))
    parts = tuple(part for part in observed if part is not None)
    slack = number * margin + _ROUNDING_SECONDS
    before_decode = _sum(duration) - _sum(decode)
    least, most = max(before_decode - slack, sum(map(_sum, parts)) - _ROUNDING_SECONDS), before_decode + slack
    return EndedRequests(number, least, most, parts) if max(0.0, least) <= most else EndedRequests(number)


def ttft_at_end(ended: EndedRequests, seconds: float) -> Marginal:
    """Bound how many of the requests that ended had a TTFT <= `seconds`.

    A single request is decided unless it is within the margin of the threshold. Of several, the sum of their TTFTs
    limits how many can exceed it.
    """
    number, least, most, parts = ended
    if most is None:
        return Marginal(0.0, number, number)
    possible = min([number - (least > number * seconds), *(marginal(part, seconds).possible for part in parts)])
    return Marginal(min(possible, number - min(number, floor(most / seconds))), possible, number)


def _observed(account: Account, growth: PageGrowth, signal: Signal, number: float) -> Histogram | None:
    """A histogram of the requests that ended; None where it misses some or its sum was read during an update."""
    histogram = growth.histograms.get((account, signal))
    return histogram if histogram is not None and histogram.count == number and sum_is_possible(histogram) else None


def _sum(histogram: Histogram) -> float:
    return histogram.sum or 0.0


def _in_step(account: Account, reading: EngineReading) -> bool:
    """Whether a page has as many decode times as durations. Where it does not, one of them lags by an update."""
    counts = {Signal.E2E: 0.0, Signal.DECODE_TIME: 0.0}
    for series, histogram in reading.histograms.items():
        if series.signal in counts and series.model == account.model:
            counts[series.signal] += histogram.count
    return counts[Signal.E2E] == counts[Signal.DECODE_TIME]
