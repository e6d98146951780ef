"""Fold one interval's joules, GPU time, money and carbon into the ledger, conserving every unit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from goodwatt.derive.energy.attribution import Activity, Share, shares, split
from goodwatt.derive.energy.cost import carbon_grams, component, cost
from goodwatt.derive.energy.meters import EnergyIncrease
from goodwatt.model.gpu import Gpu
from goodwatt.model.ledger import Component, EnergyState, Ledger
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import Facility, Tariff


@dataclass(frozen=True, slots=True)
class Usage:
    """One GPU in one interval: how long it was there, what its meter grew by, and who claims the one and the other.

    `energy` is None where the GPU carries no meter of its own or could not be read. The meter may be that of a whole
    board: then `meter_claims` are those on the board, while `claims` are always those on the GPU.
    """

    uuid: str
    seconds: float
    energy: EnergyIncrease | None
    claims: tuple[Share, ...]
    meter_claims: tuple[Share, ...]


def claims(
    gpus: tuple[Gpu, ...],
    activities: Mapping[str, tuple[Activity, ...]],
    policy: Policy,
    known_gpus: tuple[Gpu, ...],
) -> tuple[Share, ...]:
    """The shares of every account whose server runs on one of `gpus` (several only for one board's shared meter)."""
    divided: list[Activity] = []
    for server, done in activities.items():
        selectors = policy.server_gpus.get(server)
        here = sum(_runs_on(selectors, gpu) for gpu in gpus)
        if here:
            part = here / sum(_runs_on(selectors, gpu) for gpu in known_gpus)
            divided += [Activity(a.account, a.generated * part, a.prompt * part, a.running * part) for a in done]
    return shares(divided)


def _runs_on(selectors: tuple[int | str, ...] | None, gpu: Gpu) -> bool:
    return selectors is None or gpu.index in selectors or gpu.uuid in selectors


def post(ledger: Ledger, usages: tuple[Usage, ...], policy: Policy) -> Ledger:
    """The ledger with one interval of every GPU added."""
    for usage in usages:
        ledger = _post_money(_post_energy(ledger, usage), usage, policy)
    return ledger


def _post_energy(ledger: Ledger, usage: Usage) -> Ledger:
    if usage.energy is None:
        return ledger
    measured, grown, uuid = usage.energy.millijoules, dict(ledger.energy_millijoules), usage.uuid
    for share, part in zip(usage.meter_claims, _parts(measured, usage.meter_claims), strict=True):
        for state in EnergyState:  # both exist from the start: the first busy joules are an increase from 0
            grown[share.account, state] = grown.get((share.account, state), 0) + part * (state is share.state)
    unclaimed = 0 if usage.meter_claims else measured
    return replace(
        ledger,
        energy_millijoules=grown,
        gpu_energy_millijoules=_plus(ledger.gpu_energy_millijoules, uuid, measured),
        gpu_unattributed_millijoules=_plus(ledger.gpu_unattributed_millijoules, uuid, unclaimed),
        gpu_glitches=_plus(ledger.gpu_glitches, uuid, int(usage.energy.glitch)),
    )


def _parts(measured: int, claims_: tuple[Share, ...]) -> tuple[int, ...]:
    return split(measured, [share.weight for share in claims_]) if claims_ else ()


def _plus(totals: Mapping[str, int], key: str, value: int) -> dict[str, int]:
    return {**totals, key: totals.get(key, 0) + value}


def _post_money(ledger: Ledger, usage: Usage, policy: Policy) -> Ledger:
    ledger = ledger if policy.tariff is None else _post_cost(ledger, usage, policy.tariff, policy.facility)
    if policy.carbon is None or usage.energy is None:
        return ledger
    return _post_carbon(ledger, usage.meter_claims, carbon_grams(policy.carbon, policy.facility, _joules(usage.energy)))


def _post_cost(ledger: Ledger, usage: Usage, tariff: Tariff, facility: Facility) -> Ledger:
    kind = component(tariff)
    if kind is Component.RENTAL:
        return _spend(ledger, usage.claims, kind, cost(tariff, facility, usage.seconds, 0.0))
    if usage.energy is None:
        return ledger
    return _spend(ledger, usage.meter_claims, kind, cost(tariff, facility, usage.seconds, _joules(usage.energy)))


def _joules(energy: EnergyIncrease) -> float:
    return energy.millijoules / 1000.0


def _spend(ledger: Ledger, claims_: tuple[Share, ...], kind: Component, spent: float) -> Ledger:
    if not claims_:
        unattributed = {**ledger.unattributed_cost, kind: ledger.unattributed_cost.get(kind, 0.0) + spent}
        return replace(ledger, unattributed_cost=unattributed)
    grown, whole = dict(ledger.cost), sum(share.weight for share in claims_)
    for share in claims_:
        key = share.account, kind
        grown[key] = grown.get(key, 0.0) + spent * (share.weight / whole)
    return replace(ledger, cost=grown)


def _post_carbon(ledger: Ledger, claims_: tuple[Share, ...], grams: float) -> Ledger:
    if not claims_:
        return replace(ledger, unattributed_carbon_grams=(ledger.unattributed_carbon_grams or 0.0) + grams)
    grown, whole = dict(ledger.carbon_grams), sum(share.weight for share in claims_)
    for share in claims_:
        grown[share.account] = grown.get(share.account, 0.0) + grams * (share.weight / whole)
    return replace(ledger, carbon_grams=grown)
