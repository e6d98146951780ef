"""Money and carbon of one interval."""

from goodwatt.model.ledger import Component
from goodwatt.model.tariff import Carbon, Facility, Tariff

SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


def component(tariff: Tariff) -> Component:
    """What this tariff pays for."""
    return Component.RENTAL if tariff.price_per_gpu_hour is not None else Component.ELECTRICITY


def facility_joules(gpu_joules: float, facility: Facility) -> float:
    """Joules at the facility's meter for joules at the GPU."""
    return gpu_joules * facility.host_factor * facility.pue


def cost(tariff: Tariff, facility: Facility, gpu_seconds: float, gpu_joules: float) -> float:
    """Money for GPU time (rent, electricity inside) or for the facility's energy, never for both."""
    if tariff.price_per_gpu_hour is not None:
        return tariff.price_per_gpu_hour * gpu_seconds / SECONDS_PER_HOUR
    assert tariff.price_per_kwh is not None
    return tariff.price_per_kwh * facility_joules(gpu_joules, facility) / JOULES_PER_KWH


def carbon_grams(carbon: Carbon, facility: Facility, gpu_joules: float) -> float:
    """Grams of CO2 equivalent for joules at the GPU."""
    return carbon.grams_per_kwh * facility_joules(gpu_joules, facility) / JOULES_PER_KWH
