"""How many requests met an SLO: exact where records are available, otherwise between bounds."""

from collections.abc import Iterator
from typing import NamedTuple

from goodwatt.model.ledger import SloKey, SloTotals
from goodwatt.model.snapshot import Snapshot


class Attainment(NamedTuple):
    """Bounds on the good requests among the eligible ones; `lower` equals `upper` if the number is exact."""

    eligible: float
    lower: float
    upper: float
    seconds: float | None = None  # length of the window; None: since start


def slo_keys(snapshot: Snapshot) -> Iterator[SloKey]:
    """Yield the SLOs of accounts with a fresh server or a fresh record source."""
    for key in dict.fromkeys([*snapshot.ledger.slos, *snapshot.ledger.exact]):
        if key.account.server in snapshot.servers or key.account.server in snapshot.record_sources:
            yield key


def in_window(snapshot: Snapshot, key: SloKey) -> Attainment | None:
    """Return the attainment over the live window; None without one. Prefers records once any of them is eligible."""
    exact, live = snapshot.exact_live.get(key), snapshot.slo_live.get(key)
    if exact is not None and (exact.eligible or live is None):
        return Attainment(exact.eligible, exact.good, exact.good, exact.seconds)
    return None if live is None else Attainment(live.eligible, live.good_lower, live.good_upper, live.seconds)


def since_start(snapshot: Snapshot, key: SloKey) -> Attainment:
    """Return the attainment since goodwatt started, from records once any of them is eligible."""
    exact = snapshot.ledger.exact.get(key)
    if exact is not None and exact.eligible:
        return Attainment(exact.eligible, exact.good, exact.good)
    totals = snapshot.ledger.slos.get(key) or SloTotals()
    return Attainment(totals.eligible, totals.good_lower, totals.good_upper)
