"""From joules at the GPU to joules and carbon at the facility's meter."""

from goodwatt.model.tariff import JOULES_PER_KWH, Carbon, Facility


def facility_joules(gpu_joules: float, facility: Facility) -> float:
    """Joules at the facility's meter: GPU joules x host factor x PUE."""
    return gpu_joules * facility.host_factor * facility.pue


def carbon_grams(carbon: Carbon, facility: Facility, gpu_joules: float) -> float:
    """Grams of CO2 equivalent emitted for joules at the GPU."""
    return carbon.grams_per_kwh * facility_joules(gpu_joules, facility) / JOULES_PER_KWH
