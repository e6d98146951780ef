"""Cost components: what GPU money is spent on, one row each.

A row is all that a new component needs. The fold books its money by account, or as unattributed where no server claims
the GPU, under the row's name; everything downstream (metrics, closed accounts, currency changes) takes the names that
the ledger has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from goodwatt.derive.energy.facility import facility_joules
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import JOULES_PER_KWH, SECONDS_PER_HOUR


class Basis(Enum):
    """What a component is charged by, and so which claims share it."""

    GPU_TIME = "seconds for which the GPU is present, readable or not; shared by the claims on that GPU"
    ENERGY = "joules that the GPU's meter accepted; shared by the claims on every GPU behind that meter"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostComponent:
    """`name` is the value of the label `component`.

    `amount` returns the money for so many seconds or joules of one GPU (see `basis`), in the tariff's currency; None
    where the policy has no such cost.
    """

    name: str
    description: str
    basis: Basis
    amount: Callable[[Policy, float], float | None]


def _rental(policy: Policy, gpu_seconds: float) -> float | None:
    if policy.tariff is None or policy.tariff.price_per_gpu_hour is None:
        return None
    return policy.tariff.price_per_gpu_hour * gpu_seconds / SECONDS_PER_HOUR


def _electricity(policy: Policy, gpu_joules: float) -> float | None:
    if policy.tariff is None or policy.tariff.price_per_kwh is None:
        return None
    return policy.tariff.price_per_kwh * facility_joules(gpu_joules, policy.facility) / JOULES_PER_KWH


COST_COMPONENTS = (
    CostComponent(
        name="rental",
        description="GPU hours at `price_per_gpu_hour`, which includes electricity",
        basis=Basis.GPU_TIME,
        amount=_rental,
    ),
    CostComponent(
        name="electricity",
        description="facility energy at `price_per_kwh`",
        basis=Basis.ENERGY,
        amount=_electricity,
    ),
)
