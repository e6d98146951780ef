"""Charge accounts for one interval: GPU energy, cost and carbon. Everything is charged once or booked unattributed."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from goodwatt.derive.energy.attribution import Activity, Share, attribute, split_whole
from goodwatt.derive.energy.components import COST_COMPONENTS, Basis
from goodwatt.derive.energy.facility import carbon_grams
from goodwatt.derive.energy.meters import EnergyIncrease
from goodwatt.model.gpu import Gpu
from goodwatt.model.ledger import Account, EnergyState, Ledger
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import Carbon, Facility

_Key = TypeVar("_Key", bound=Hashable)


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
            divided += [_part(activity, part) for activity in accounts]
    return attribute(divided)


def _part(activity: Activity, part: float) -> Activity:
    return Activity(
        activity.account,
        generated=activity.generated * part,
        prompt=activity.prompt * part,
        running=activity.running * part,
    )


def _runs_on(selectors: tuple[int | str, ...] | None, gpu: Gpu) -> bool:
    return selectors is None or gpu.index in selectors or gpu.uuid in selectors


def charge_interval(ledger: Ledger, gpus: Sequence[GpuInterval], policy: Policy) -> Ledger:
    """Add the energy, cost and carbon of one interval of every GPU."""
    metered = [(gpu, gpu.energy) for gpu in gpus if gpu.energy is not None]
    ledger = _add_costs(_add_energy(ledger, metered), gpus, policy)
    return ledger if policy.carbon is None else _add_carbon(ledger, metered, policy.carbon, policy.facility)


def _add_energy(ledger: Ledger, metered: Sequence[tuple[GpuInterval, EnergyIncrease]]) -> Ledger:
    accounts, total = dict(ledger.energy_millijoules), dict(ledger.gpu_energy_millijoules)
    unattributed, glitches = dict(ledger.gpu_unattributed_millijoules), dict(ledger.gpu_glitches)
    for gpu, energy in metered:
        for share, part in zip(gpu.meter_claims, _parts(energy.millijoules, gpu.meter_claims), strict=True):
            for state in EnergyState:  # start both at 0: rate() sees the first busy joules only as an increase
                _plus(accounts, (share.account, state), part * (state is share.state))
        _plus(total, gpu.uuid, energy.millijoules)
        _plus(unattributed, gpu.uuid, 0 if gpu.meter_claims else energy.millijoules)
        _plus(glitches, gpu.uuid, int(energy.glitch))
    return replace(
        ledger,
        energy_millijoules=accounts,
        gpu_energy_millijoules=total,
        gpu_unattributed_millijoules=unattributed,
        gpu_glitches=glitches,
    )


def _parts(measured: int, claims: tuple[Share, ...]) -> tuple[int, ...]:
    return split_whole(measured, [share.weight for share in claims]) if claims else ()


def _plus(totals: dict[_Key, int], key: _Key, value: int) -> None:
    totals[key] = totals.get(key, 0) + value


def _add_costs(ledger: Ledger, gpus: Sequence[GpuInterval], policy: Policy) -> Ledger:
    cost, unattributed = dict(ledger.cost), dict(ledger.unattributed_cost)
    for component, claims, spent in _spending(gpus, policy):
        if not claims:
            unattributed[component] = unattributed.get(component, 0.0) + spent
        for account, part in _divide(spent, claims):
            cost[account, component] = cost.get((account, component), 0.0) + part
    return replace(ledger, cost=cost, unattributed_cost=unattributed)


def _spending(gpus: Sequence[GpuInterval], policy: Policy) -> Iterator[tuple[str, tuple[Share, ...], float]]:
    """Each component's money for each GPU, with the claims that share it."""
    for component in COST_COMPONENTS:
        by_time = component.basis is Basis.GPU_TIME
        for gpu in gpus:
            quantity = gpu.seconds if by_time else _joules(gpu.energy)
            spent = None if quantity is None else component.amount(policy, quantity)
            if spent is not None:
                yield component.name, gpu.claims if by_time else gpu.meter_claims, spent


def _joules(energy: EnergyIncrease | None) -> float | None:
    return None if energy is None else energy.millijoules / 1000.0


def _divide(amount: float, claims: tuple[Share, ...]) -> Iterator[tuple[Account, float]]:
    whole = sum(share.weight for share in claims)
    return ((share.account, amount * (share.weight / whole)) for share in claims)


def _add_carbon(
    ledger: Ledger, metered: Sequence[tuple[GpuInterval, EnergyIncrease]], carbon: Carbon, facility: Facility
) -> Ledger:
    accounts, unattributed = dict(ledger.carbon_grams), ledger.unattributed_carbon_grams
    for gpu, energy in metered:
        grams = carbon_grams(carbon, facility, energy.millijoules / 1000.0)
        if not gpu.meter_claims:
            unattributed = (unattributed or 0.0) + grams
        for account, part in _divide(grams, gpu.meter_claims):
            accounts[account] = accounts.get(account, 0.0) + part
    return replace(ledger, carbon_grams=accounts, unattributed_carbon_grams=unattributed)
