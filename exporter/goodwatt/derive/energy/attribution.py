"""Attribute a GPU's energy and time: by generated tokens, prompt tokens, running requests or evenly, in that order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from goodwatt.model.ledger import Account, EnergyState


@dataclass(frozen=True, slots=True)
class Activity:
    """What an account did in an interval, already divided by the number of GPUs that its server runs on."""

    account: Account
    generated: float = 0.0
    prompt: float = 0.0
    running: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """An account's part of one GPU in one interval. Weights are relative to the other shares of that GPU."""

    account: Account
    state: EnergyState
    weight: float


def attribute(activities: Iterable[Activity]) -> tuple[Share, ...]:
    """Return the shares of one GPU among the accounts that claim it; empty where no account does.

    If any account generated tokens, generated tokens decide, and an account that generated none gets nothing. With no
    work at all the GPU is idle, and the accounts share it evenly.
    """
    claims = tuple(activities)
    for quantity in ("generated", "prompt", "running"):
        working = tuple(a for a in claims if getattr(a, quantity) > 0)
        if working:
            return tuple(Share(a.account, EnergyState.BUSY, getattr(a, quantity)) for a in working)
    return tuple(Share(a.account, EnergyState.IDLE, 1.0) for a in claims)


def split_whole(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Divide whole units by weight. Parts are >= 0 and add up to `total` exactly; weights must not all be 0.

    Each part is the difference between two rounded running sums, so rounding never creates or loses a unit.
    """
    running = list(accumulate(weights))
    marks = [round(total * (mark / running[-1])) for mark in running]
    return tuple(mark - before for before, mark in zip([0, *marks], marks, strict=False))
