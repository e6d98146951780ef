"""Live figures: the ledger now minus the ledger at the start of the window."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from goodwatt.derive.slo import bounds, judge
from goodwatt.derive.state import Mark
from goodwatt.model.engine import EngineReading, Moves, Signal
from goodwatt.model.ledger import Account, Component, CountKey, EnergyState, Ledger, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo
from goodwatt.model.snapshot import ExactLive, Live, SloLive, TokenRates

K = TypeVar("K")

MOST_MARKS = 240
FINISH_WINDOWS = 5


def trim(marks: tuple[Mark, ...], now: float, window_seconds: float) -> tuple[Mark, ...]:
    """Drop marks that a window ending now no longer needs: all but the last one at or before its start."""
    older = sum(mark.at_seconds <= now - window_seconds for mark in marks)
    return marks[max(0, older - 1) :]


def marked(marks: tuple[Mark, ...], mark: Mark, window_seconds: float) -> tuple[Mark, ...]:
    """The marks with one more, unless the last one is as good: a window of any length has a few hundred at most."""
    earlier = tuple(one for one in marks if one.at_seconds < mark.at_seconds)
    if earlier and mark.at_seconds - earlier[-1].at_seconds < window_seconds / MOST_MARKS:
        return earlier
    return (*earlier, mark)


def window_seconds(page: EngineReading | None, policy: Policy) -> float:
    """How far the live figures of a server look back.

    Where an engine counts tokens only when a request ends, a window that is not much longer than a request sees the
    joules of one and the tokens of another: it is FINISH_WINDOWS times as long there.
    """
    lumpy = page is not None and page.traits.tokens_move is Moves.FINISH
    return policy.window_seconds * (FINISH_WINDOWS if lumpy else 1)


def longest_window_seconds(pages: Iterable[EngineReading], policy: Policy) -> float:
    """How far back marks are needed."""
    return max((window_seconds(page, policy) for page in pages), default=policy.window_seconds)


def start_mark(marks: Sequence[Mark], first_seen: float, now: float, window: float) -> Mark | None:
    """Where a window that ends now begins: at the last mark that is old enough for it, or else at the oldest one
    before `now` at which the account was already known.
    """
    known = bisect_left(marks, first_seen, key=_moment)
    begins = bisect_right(marks, now - window, key=_moment) - 1
    index = max(known, begins)
    return marks[index] if index < len(marks) and marks[index].at_seconds < now else None


def _moment(mark: Mark) -> float:
    return mark.at_seconds


def live(ledger: Ledger, start: Mark, now: float, account: Account, with_energy: bool) -> Live:
    """An account over the window that began at `start`, some time before `now`."""
    seconds, then = now - start.at_seconds, start.ledger
    busy = _rate(ledger.energy_millijoules, then.energy_millijoules, [(account, EnergyState.BUSY)], seconds)
    both = [(account, state) for state in EnergyState]
    energy = _rate(ledger.energy_millijoules, then.energy_millijoules, both, seconds)
    return Live(
        seconds=seconds,
        tokens=TokenRates(*(_rate(ledger.counts, then.counts, [CountKey(account, s)], seconds) for s in _TOKENS)),
        watts=_watts(energy) if with_energy else None,
        busy_watts=_watts(busy) if with_energy else None,
        cost_per_second=_rate(ledger.cost, then.cost, [(account, component) for component in Component], seconds),
    )


_TOKENS = (Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS)


def _watts(milliwatts: float | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000.0


def _rate(now: Mapping[K, float], then: Mapping[K, float], keys: Iterable[K], seconds: float) -> float | None:
    present = [key for key in keys if key in now]
    return sum(now[key] - then.get(key, 0) for key in present) / seconds if present else None


def slo_live(slo: Slo, key: SloKey, ledger: Ledger, start: Mark, now: float) -> SloLive:
    """One SLO over the window that began at `start`, some time before `now`, with the account known."""
    window = bounds.since(start.ledger.evidence[key], ledger.evidence[key])
    total = bounds.totals(slo, window)
    gap = bounds.first_token_gap(slo, window)
    return SloLive(
        seconds=now - start.at_seconds,
        eligible=total.eligible,
        good_lower=total.good_lower,
        good_upper=total.good_upper,
        first_tokens_minus_finished=gap,
    )


def exact_live(key: SloKey, ledger: Ledger, start: Mark, rates: Live) -> ExactLive:
    """One SLO from records, over the window of `rates`, which began at `start` with the totals begun."""
    window = judge.since(start.ledger.exact[key], ledger.exact[key])
    return ExactLive(
        seconds=rates.seconds,
        eligible=window.eligible,
        good=window.good,
        tokens=window.tokens,
        good_tokens=window.good_tokens,
        rates=rates,
    )
