"""Samples of energy, cost, carbon and SLO totals.

What an account was given of joules and money rests on the GPUs and the clock, not on the server's page. So it stays
while the server is down, and when it is removed: only then do the parts still add up to the whole on every page. Of
servers removed long ago the sum of what they were given stays.
"""

from collections.abc import Callable, Iterator

from goodwatt.model.ledger import EnergyState, FirstTokens
from goodwatt.model.slo import Bound
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics import requests as exact
from goodwatt.publish.metrics.row import Sample
from goodwatt.publish.metrics.slo import HISTOGRAM_METHOD


def energy(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, state. An account that has joules in one state has a measured 0 in the other."""
    known = snapshot.ledger.energy_millijoules
    for account in dict.fromkeys(account for account, _ in known):
        if snapshot.gpus is not None:
            for state in EnergyState:
                yield (*account, state.value), known.get((account, state), 0) / 1000


def cost(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, component, currency."""
    tariff = snapshot.policy.tariff
    for (account, component), spent in snapshot.ledger.cost.items():
        if tariff is not None:
            yield (*account, component, tariff.currency), spent


def revenue(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, kind, currency."""
    price_list = snapshot.policy.price_list
    for (account, kind), earned in snapshot.ledger.revenue.items():
        if price_list is not None:
            yield (*account, kind.value, price_list.currency), earned


def unattributed_cost(snapshot: Snapshot) -> Iterator[Sample]:
    """component, currency. Once money has been counted at all, what nobody claimed is a measured number."""
    tariff, ledger = snapshot.policy.tariff, snapshot.ledger
    if tariff is None:
        return
    for component in dict.fromkeys([*ledger.unattributed_cost, *(component for _, component in ledger.cost)]):
        yield (component, tariff.currency), ledger.unattributed_cost.get(component, 0.0)


def carbon(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model."""
    for account, grams in snapshot.ledger.carbon_grams.items():
        if snapshot.gpus is not None:
            yield account, grams


def unattributed_carbon(snapshot: Snapshot) -> Iterator[Sample]:
    """No labels. Once carbon has been counted at all, what nobody claimed is a measured number."""
    ledger = snapshot.ledger
    counted = bool(ledger.carbon_grams) or ledger.unattributed_carbon_grams is not None
    if counted and snapshot.gpus is not None:
        yield (), ledger.unattributed_carbon_grams or 0.0


def closed_energy(snapshot: Snapshot) -> Iterator[Sample]:
    """No labels; absent until an account was closed."""
    if snapshot.gpus is not None and snapshot.ledger.closed_energy_millijoules is not None:
        yield (), snapshot.ledger.closed_energy_millijoules / 1000


def closed_cost(snapshot: Snapshot) -> Iterator[Sample]:
    """component, currency; absent until an account was closed."""
    tariff = snapshot.policy.tariff
    for component, spent in snapshot.ledger.closed_cost.items():
        if tariff is not None:
            yield (component, tariff.currency), spent


def closed_carbon(snapshot: Snapshot) -> Iterator[Sample]:
    """No labels; absent until an account was closed."""
    if snapshot.gpus is not None and snapshot.ledger.closed_carbon_grams is not None:
        yield (), snapshot.ledger.closed_carbon_grams


def slo_requests(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, method: requests that count for the SLO."""
    for (account, slo), totals in snapshot.ledger.slos.items():
        if account.server in snapshot.servers:
            yield (*account, slo, HISTOGRAM_METHOD), totals.eligible
    for labels, counted in exact.totals(snapshot):
        yield (*labels, exact.METHOD), counted.eligible


def slo_good_requests(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo, method, bound."""
    for (account, slo), totals in snapshot.ledger.slos.items():
        if account.server in snapshot.servers:
            yield (*account, slo, HISTOGRAM_METHOD, Bound.LOWER.value), totals.good_lower
            yield (*account, slo, HISTOGRAM_METHOD, Bound.UPPER.value), totals.good_upper
    for labels, counted in exact.totals(snapshot):
        yield (*labels, *exact.EXACT), counted.good


def slo_possibly_bad(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo: the charge on the lower bound of a range that starts now."""
    return _in_flight(snapshot, lambda waiting: waiting.bad_in_flight)


def slo_possibly_good(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, slo: the charge on the upper bound of a range that starts now."""
    return _in_flight(snapshot, lambda waiting: waiting.good_in_flight)


def _in_flight(snapshot: Snapshot, get: Callable[[FirstTokens], float]) -> Iterator[Sample]:
    for (account, slo), waiting in snapshot.slo_in_flight.items():
        if account.server in snapshot.servers:
            yield (*account, slo), get(waiting)
