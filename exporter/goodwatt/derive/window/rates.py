"""Live figures: the ledger now minus the ledger at the start of the window."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from goodwatt.derive.energy.components import COST_COMPONENTS
from goodwatt.derive.slo.bounds import bounds_over_range
from goodwatt.derive.slo.judge import exact_totals_since
from goodwatt.derive.state import Mark
from goodwatt.model.engine import EngineReading, Moves, Signal
from goodwatt.model.ledger import Account, CountKey, EnergyState, FirstTokens, Ledger, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo
from goodwatt.model.snapshot import ExactLive, Live, SloLive, TokenRates

_Key = TypeVar("_Key")

MAX_MARKS = 240
FINISH_WINDOW_FACTOR = 5


def trim_marks(marks: tuple[Mark, ...], now: float, window_seconds: float) -> tuple[Mark, ...]:
    """Drop marks that a window ending now no longer needs: all but the last one at or before its start."""
    older = sum(mark.at_seconds <= now - window_seconds for mark in marks)
    return marks[max(0, older - 1) :]


def add_mark(marks: tuple[Mark, ...], mark: Mark, window_seconds: float) -> tuple[Mark, ...]:
    """Append a mark unless the last one is close enough: a window of any length keeps about MAX_MARKS at most."""
    earlier = tuple(one for one in marks if one.at_seconds < mark.at_seconds)
    if earlier and mark.at_seconds - earlier[-1].at_seconds < window_seconds / MAX_MARKS:
        return earlier
    return (*earlier, mark)


def server_window_seconds(page: EngineReading | None, policy: Policy) -> float:
    """Return the length of a server's live window.

    Where an engine counts tokens only when a request finishes, a window not much longer than a request would divide
    one request's tokens by another's joules, so the window is FINISH_WINDOW_FACTOR times as long there.
    """
    lumpy = page is not None and page.traits.tokens_move is Moves.FINISH
    return policy.window_seconds * (FINISH_WINDOW_FACTOR if lumpy else 1)


def longest_window_seconds(pages: Iterable[EngineReading], policy: Policy) -> float:
    """Return the longest window of these pages; marks must cover it."""
    return max((server_window_seconds(page, policy) for page in pages), default=policy.window_seconds)


def start_mark(marks: Sequence[Mark], first_seen: float, now: float, window: float) -> Mark | None:
    """Return the mark at which a window that ends now starts; None where no mark fits.

    That is the last mark at or before the window's start. A younger account starts at the oldest mark before `now` that
    includes it.
    """
    known = bisect_left(marks, first_seen, key=_moment)
    begins = bisect_right(marks, now - window, key=_moment) - 1
    index = max(known, begins)
    return marks[index] if index < len(marks) and marks[index].at_seconds < now else None


def _moment(mark: Mark) -> float:
    return mark.at_seconds


def account_live(ledger: Ledger, start: Mark, now: float, account: Account, with_energy: bool) -> Live:
    """Return an account's rates over the window that began at `start`, some time before `now`."""
    seconds, then = now - start.at_seconds, start.ledger
    busy = _rate(ledger.energy_millijoules, then.energy_millijoules, [(account, EnergyState.BUSY)], seconds)
    both = [(account, state) for state in EnergyState]
    energy = _rate(ledger.energy_millijoules, then.energy_millijoules, both, seconds)
    components = [(account, component.name) for component in COST_COMPONENTS]
    return Live(
        seconds=seconds,
        tokens=TokenRates(*(_rate(ledger.counts, then.counts, [CountKey(account, s)], seconds) for s in _TOKENS)),
        watts=_watts(energy) if with_energy else None,
        busy_watts=_watts(busy) if with_energy else None,
        cost_per_second=_rate(ledger.cost, then.cost, components, seconds),
    )


_TOKENS = (Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS)


def _watts(milliwatts: float | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000.0


def _rate(now: Mapping[_Key, float], then: Mapping[_Key, float], keys: Iterable[_Key], seconds: float) -> float | None:
    present = [key for key in keys if key in now]
    return sum(now[key] - then.get(key, 0) for key in present) / seconds if present else None


def slo_live(slo: Slo, key: SloKey, ledger: Ledger, start: Mark, now: float) -> SloLive:
    """Return one SLO's bounds over the window that began at `start`, some time before `now`."""
    in_flight = start.first_tokens.get(key) or FirstTokens()
    totals = bounds_over_range(start.ledger.evidence[key].totals, in_flight, ledger.evidence[key].totals)
    has_ttft = any(threshold.signal is Signal.TTFT for threshold in slo.thresholds)
    return SloLive(
        seconds=now - start.at_seconds,
        eligible=totals.eligible,
        good_lower=totals.good_lower,
        good_upper=totals.good_upper,
        first_tokens_minus_finished=totals.first_tokens - totals.finished if has_ttft else None,
    )


def exact_live(key: SloKey, ledger: Ledger, start: Mark, rates: Live) -> ExactLive:
    """Return one SLO's exact counts over the window of `rates`, which began at `start`, where its totals existed."""
    window = exact_totals_since(start.ledger.exact[key], ledger.exact[key])
    return ExactLive(
        seconds=rates.seconds,
        eligible=window.eligible,
        good=window.good,
        tokens=window.tokens,
        good_tokens=window.good_tokens,
        rates=rates,
    )
