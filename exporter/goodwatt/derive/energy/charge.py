"""Charge accounts for one interval: GPU energy, cost and carbon. Everything is charged once or booked unattributed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from goodwatt.derive.energy.attribution import Activity, Share, attribute, split_whole
from goodwatt.derive.energy.components import COST_COMPONENTS, Basis
from goodwatt.derive.energy.facility import carbon_grams
from goodwatt.derive.energy.meters import EnergyIncrease
from goodwatt.model.gpu import Gpu
from goodwatt.model.ledger import EnergyState, Ledger
from goodwatt.model.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuInterval:
    """One GPU over one interval of `seconds`.

    `energy` is the increase of its meter; None where the GPU has no meter to itself or could not be read. A meter may
    cover a whole board, so `meter_claims` are the claims on every GPU behind it; `claims` are those on this GPU.
    """

    uuid: str
    seconds: float
    energy: EnergyIncrease | None
    claims: tuple[Share, ...]
    meter_claims: tuple[Share, ...]


def claims_on(
    gpus: tuple[Gpu, ...],
    activities: Mapping[str, tuple[Activity, ...]],
    policy: Policy,
    known_gpus: tuple[Gpu, ...],
) -> tuple[Share, ...]:
    """Return the shares of the accounts that run on any of `gpus` (several only behind one board's meter).

    `activities` are by server. A server that runs on several GPUs brings an equal part of its activity to each.
    """
    divided: list[Activity] = []
    for server, accounts in activities.items():
        selectors = policy.server_gpus.get(server)
        here = sum(_runs_on(selectors, gpu) for gpu in gpus)
        if here:
            part = here / sum(_runs_on(selectors, gpu) for gpu in known_gpus)
            divided += [Activity(a.account, a.generated * part, a.prompt * part, a.running * part) for a in accounts]
    return attribute(divided)


def _runs_on(selectors: tuple[int | str, ...] | None, gpu: Gpu) -> bool:
    return selectors is None or gpu.index in selectors or gpu.uuid in selectors


def charge_interval(ledger: Ledger, gpus: tuple[GpuInterval, ...], policy: Policy) -> Ledger:
    """Add the energy, cost and carbon of one interval of every GPU."""
    for gpu in gpus:
        ledger = _add_carbon(_add_costs(_add_energy(ledger, gpu), gpu, policy), gpu, policy)
    return ledger


def _add_energy(ledger: Ledger, gpu: GpuInterval) -> Ledger:
    if gpu.energy is None:
        return ledger
    measured, energy = gpu.energy.millijoules, dict(ledger.energy_millijoules)
    for share, part in zip(gpu.meter_claims, _parts(measured, gpu.meter_claims), strict=True):
        for state in EnergyState:  # start both at 0: rate() sees the first busy joules only as an increase
            key = share.account, state
            energy[key] = energy.get(key, 0) + part * (state is share.state)
    unattributed = 0 if gpu.meter_claims else measured
    return replace(
        ledger,
        energy_millijoules=energy,
        gpu_energy_millijoules=_plus(ledger.gpu_energy_millijoules, gpu.uuid, measured),
        gpu_unattributed_millijoules=_plus(ledger.gpu_unattributed_millijoules, gpu.uuid, unattributed),
        gpu_glitches=_plus(ledger.gpu_glitches, gpu.uuid, int(gpu.energy.glitch)),
    )


def _parts(measured: int, claims: tuple[Share, ...]) -> tuple[int, ...]:
    return split_whole(measured, [share.weight for share in claims]) if claims else ()


def _plus(totals: Mapping[str, int], key: str, value: int) -> dict[str, int]:
    return {**totals, key: totals.get(key, 0) + value}


def _add_costs(ledger: Ledger, gpu: GpuInterval, policy: Policy) -> Ledger:
    for component in COST_COMPONENTS:
        if component.basis is Basis.GPU_TIME:
            ledger = _spend(ledger, component.name, gpu.claims, component.amount(policy, gpu.seconds))
        elif gpu.energy is not None:
            ledger = _spend(ledger, component.name, gpu.meter_claims, component.amount(policy, _joules(gpu.energy)))
    return ledger


def _joules(energy: EnergyIncrease) -> float:
    return energy.millijoules / 1000.0


def _spend(ledger: Ledger, component: str, claims: tuple[Share, ...], spent: float | None) -> Ledger:
    if spent is None:
        return ledger
    if not claims:
        unattributed = {**ledger.unattributed_cost, component: ledger.unattributed_cost.get(component, 0.0) + spent}
        return replace(ledger, unattributed_cost=unattributed)
    cost, whole = dict(ledger.cost), sum(share.weight for share in claims)
    for share in claims:
        key = share.account, component
        cost[key] = cost.get(key, 0.0) + spent * (share.weight / whole)
    return replace(ledger, cost=cost)


def _add_carbon(ledger: Ledger, gpu: GpuInterval, policy: Policy) -> Ledger:
    if policy.carbon is None or gpu.energy is None:
        return ledger
    grams = carbon_grams(policy.carbon, policy.facility, _joules(gpu.energy))
    if not gpu.meter_claims:
        return replace(ledger, unattributed_carbon_grams=(ledger.unattributed_carbon_grams or 0.0) + grams)
    carbon, whole = dict(ledger.carbon_grams), sum(share.weight for share in gpu.meter_claims)
    for share in gpu.meter_claims:
        carbon[share.account] = carbon.get(share.account, 0.0) + grams * (share.weight / whole)
    return replace(ledger, carbon_grams=carbon)
