"""Learn how far E2E - decode is from TTFT, the margin of method "tick".

A window is closed when no request was past its first token at either end: then its first tokens and its ends are those
of the same requests, and the sums of their TTFT and of their E2E - decode should be equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import NamedTuple

from goodwatt.derive.histograms import sum_is_possible
from goodwatt.derive.page_growth import PageGrowth
from goodwatt.derive.slo.histogram_evidence import in_flight
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.ledger import Account, CountKey

UNLEARNED_SECONDS = 0.010  # about ten times what real vLLM spans showed
WINDOWS_TO_LEARN, WINDOWS_KEPT = 20, 100
SAFETY_FACTOR = 2.0
_COMPARED = (Signal.TTFT, Signal.E2E, Signal.DECODE_TIME)
_TIMED = (Outcome.SUCCESS, Outcome.ERROR, Outcome.CANCELLED)  # in the histograms, unlike requests refused at admission


class _Window(NamedTuple):
    """What was observed since no request was in flight. `excess` is summed TTFT - E2E + decode; None if torn."""

    counts: tuple[float, ...] = (0.0, 0.0, 0.0)  # in the order of _COMPARED
    ended: float = 0.0
    excess: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TickMargin:
    """What closed windows of one account showed, and the margin that follows.

    `seconds` is SAFETY_FACTOR times the largest deviation, and at least UNLEARNED_SECONDS until WINDOWS_TO_LEARN were
    seen. `window` is the open one; None until no request was in flight.
    """

    deviations: tuple[float, ...] = ()
    window: _Window | None = None
    seconds: float = UNLEARNED_SECONDS


def learn_margins(margins: Mapping[Account, TickMargin], pages: Sequence[PageGrowth]) -> dict[Account, TickMargin]:
    """Return the margins after these pages, oldest first. Accounts without decode times have none."""
    learned = dict(margins)
    for growth in pages:
        for account in growth.accounts:
            if (account, Signal.DECODE_TIME) in growth.histograms:
                learned[account] = _after(learned.get(account) or TickMargin(), account, growth)
    return learned


def _after(margin: TickMargin, account: Account, growth: PageGrowth) -> TickMargin:
    idle = in_flight(account, growth.reading) == 0
    if growth.is_baseline or margin.window is None:
        return replace(margin, window=_Window() if idle else None)
    window = _extended(margin.window, account, growth)
    if not idle:
        return replace(margin, window=window)
    deviation = _deviation(window)
    return replace(margin, window=_Window()) if deviation is None else _learned((*margin.deviations, deviation))


def _learned(deviations: tuple[float, ...]) -> TickMargin:
    kept = deviations[-WINDOWS_KEPT:]
    seconds = SAFETY_FACTOR * max(kept)
    enough = len(kept) >= WINDOWS_TO_LEARN
    return TickMargin(deviations=kept, window=_Window(), seconds=seconds if enough else max(seconds, UNLEARNED_SECONDS))


def _extended(window: _Window, account: Account, growth: PageGrowth) -> _Window:
    added = [growth.histograms.get((account, signal)) for signal in _COMPARED]
    sums = [0.0 if h is None else h.sum for h in added if h is None or sum_is_possible(h)]
    excess = None if window.excess is None else _excess(window.excess, sums)
    ends = (growth.counts.get(CountKey(account, Signal.REQUESTS, outcome), 0.0) for outcome in _TIMED)
    return _Window(
        counts=tuple(n + (0.0 if h is None else h.count) for n, h in zip(window.counts, added, strict=True)),
        ended=window.ended + sum(ends),
        excess=excess,
    )


def _excess(before: float, sums: Sequence[float | None]) -> float | None:
    known = [each for each in sums if each is not None]
    if len(known) < len(_COMPARED):
        return None
    first, duration, decode = known
    return before + first - duration + decode


def _deviation(window: _Window) -> float | None:
    """Deviation of a closed window, on the scale of one request; None where nothing ended or a request is missing.

    Deviations of several requests partly cancel in their mean, which shrinks with the root of their number.
    """
    requests = window.ended
    if window.excess is None or not requests or any(count != requests for count in window.counts):
        return None
    return abs(window.excess) / sqrt(requests)
