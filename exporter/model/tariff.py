"""What energy and machines cost, and the factors that carry GPU joules to the facility's meter."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tariff:
    """Exactly one of the two prices is set: rent includes electricity, which is never added again."""

    currency: str
    price_per_gpu_hour: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Facility:
    """Node joules = GPU joules x host_factor; facility joules = node joules x pue. Both are 1.0 unless configured."""

    host_factor: float = 1.0
    pue: float = 1.0


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grid intensity in grams of CO2 equivalent per kWh at the facility's meter."""

    grams_per_kwh: float
