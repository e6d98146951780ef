"""Metrics of energy, cost, revenue and carbon since goodwatt started.

Attribution needs only the GPUs and the clock, so these series stay while a server is down and after it is removed:
the accounts, the unattributed part and the closed accounts always add up to the total. A server removed long ago is
closed: its series end, and its totals move to the closed_accounts_* metrics.
"""

from collections.abc import Iterator

from goodwatt.model.ledger import EnergyState
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import ACCOUNT_LABEL_NAMES, Kind, Metric, Sample, Stability


def _energy(snapshot: Snapshot) -> Iterator[Sample]:
    """Yield both states of every account: one with energy in a single state has a measured 0 in the other."""
    known = snapshot.ledger.energy_millijoules
    for account in dict.fromkeys(account for account, _ in known):
        if snapshot.gpus is not None:
            for state in EnergyState:
                yield (*account, state.value), known.get((account, state), 0) / 1000


def _cost(snapshot: Snapshot) -> Iterator[Sample]:
    tariff = snapshot.policy.tariff
    for (account, component), spent in snapshot.ledger.cost.items():
        if tariff is not None:
            yield (*account, component, tariff.currency), spent


def _revenue(snapshot: Snapshot) -> Iterator[Sample]:
    price_list = snapshot.policy.price_list
    for (account, kind), earned in snapshot.ledger.revenue.items():
        if price_list is not None:
            yield (*account, kind.value, price_list.currency), earned


def _unattributed_cost(snapshot: Snapshot) -> Iterator[Sample]:
    """A component that any account was charged for has a measured 0 here."""
    tariff, ledger = snapshot.policy.tariff, snapshot.ledger
    if tariff is None:
        return
    for component in dict.fromkeys([*ledger.unattributed_cost, *(component for _, component in ledger.cost)]):
        yield (component, tariff.currency), ledger.unattributed_cost.get(component, 0.0)


def _carbon(snapshot: Snapshot) -> Iterator[Sample]:
    for account, grams in snapshot.ledger.carbon_grams.items():
        if snapshot.gpus is not None:
            yield account, grams


def _unattributed_carbon(snapshot: Snapshot) -> Iterator[Sample]:
    """Yield a measured 0 once any account has carbon."""
    ledger = snapshot.ledger
    counted = bool(ledger.carbon_grams) or ledger.unattributed_carbon_grams is not None
    if counted and snapshot.gpus is not None:
        yield (), ledger.unattributed_carbon_grams or 0.0


def _closed_energy(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.gpus is not None and snapshot.ledger.closed_energy_millijoules is not None:
        yield (), snapshot.ledger.closed_energy_millijoules / 1000


def _closed_cost(snapshot: Snapshot) -> Iterator[Sample]:
    tariff = snapshot.policy.tariff
    for component, spent in snapshot.ledger.closed_cost.items():
        if tariff is not None:
            yield (component, tariff.currency), spent


def _closed_carbon(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.gpus is not None and snapshot.ledger.closed_carbon_grams is not None:
        yield (), snapshot.ledger.closed_carbon_grams


LEDGER = (
    Metric(
        name="energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="GPU energy attributed to the model on the server, busy and idle. Excludes host factor and PUE.",
        labels=(*ACCOUNT_LABEL_NAMES, "state"),
        value=_energy,
        stability=Stability.STABLE,
    ),
    Metric(
        name="cost_total",
        kind=Kind.COUNTER,
        unit="",
        help="Cost of the model on the server, idle time included, at the prices in force when counted.",
        labels=(*ACCOUNT_LABEL_NAMES, "component", "currency"),
        value=_cost,
        stability=Stability.STABLE,
    ),
    Metric(
        name="revenue_total",
        kind=Kind.COUNTER,
        unit="",
        help="Revenue at the price in force when counted; kind=prompt excludes cached prompt tokens. "
        "Margin = revenue_total - cost_total.",
        labels=(*ACCOUNT_LABEL_NAMES, "kind", "currency"),
        value=_revenue,
    ),
    Metric(
        name="unattributed_cost_total",
        kind=Kind.COUNTER,
        unit="",
        help="Cost of GPUs while no server claimed them.",
        labels=("component", "currency"),
        value=_unattributed_cost,
        stability=Stability.STABLE,
    ),
    Metric(
        name="carbon_grams_total",
        kind=Kind.COUNTER,
        unit="grams",
        help="CO2 equivalent of the energy attributed to the model on the server, host factor and PUE included.",
        labels=ACCOUNT_LABEL_NAMES,
        value=_carbon,
    ),
    Metric(
        name="unattributed_carbon_grams_total",
        kind=Kind.COUNTER,
        unit="grams",
        help="CO2 equivalent of the unattributed energy, host factor and PUE included.",
        labels=(),
        value=_unattributed_carbon,
    ),
    Metric(
        name="closed_accounts_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="GPU energy of closed accounts, such as servers removed long ago, whose own series have ended. It "
        "completes the sum of all energy; do not use it for rates.",
        labels=(),
        value=_closed_energy,
    ),
    Metric(
        name="closed_accounts_cost_total",
        kind=Kind.COUNTER,
        unit="",
        help="Cost of closed accounts, whose own series have ended; do not use it for rates.",
        labels=("component", "currency"),
        value=_closed_cost,
    ),
    Metric(
        name="closed_accounts_carbon_grams_total",
        kind=Kind.COUNTER,
        unit="grams",
        help="CO2 equivalent of the energy of closed accounts, whose own series have ended; do not use it for rates.",
        labels=(),
        value=_closed_carbon,
    ),
)
