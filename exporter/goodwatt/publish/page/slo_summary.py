"""How many requests kept an objective, for people: exactly where records tell, else between bounds."""

from collections.abc import Iterator
from typing import NamedTuple

from goodwatt.model.ledger import SloKey, SloTotals
from goodwatt.model.snapshot import Snapshot


class Attained(NamedTuple):
    """Good requests of so many that count; `lower` and `upper` are the same where the number is exact."""

    eligible: float
    lower: float
    upper: float
    seconds: float | None = None  # that it took; None: since start


def objectives(snapshot: Snapshot) -> Iterator[SloKey]:
    """The objectives of accounts that a fresh page or a fresh source of records tells of."""
    for key in dict.fromkeys([*snapshot.ledger.slos, *snapshot.ledger.exact]):
        if key.account.server in snapshot.servers or key.account.server in snapshot.record_sources:
            yield key


def in_window(snapshot: Snapshot, key: SloKey) -> Attained | None:
    """Over the latest window. Records win once one of them counted: histograms may see requests that they do not."""
    exact, live = snapshot.exact_live.get(key), snapshot.slo_live.get(key)
    if exact is not None and (exact.eligible or live is None):
        return Attained(exact.eligible, exact.good, exact.good, exact.seconds)
    return None if live is None else Attained(live.eligible, live.good_lower, live.good_upper, live.seconds)


def since_start(snapshot: Snapshot, key: SloKey) -> Attained:
    """Over everything that was counted."""
    exact = snapshot.ledger.exact.get(key)
    if exact is not None and exact.eligible:
        return Attained(exact.eligible, exact.good, exact.good)
    totals = snapshot.ledger.slos.get(key) or SloTotals()
    return Attained(totals.eligible, totals.good_lower, totals.good_upper)
