"""What energy and machines cost, and the factors that carry GPU joules to the facility's meter."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tariff:
    """Exactly one of the two prices is set: rent includes electricity, which is never added again."""

    currency: str
    price_per_gpu_hour: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """What a million tokens earn. Cached prompt tokens earn as other prompt tokens do where they have no price."""

    prompt_per_million_tokens: float
    generated_per_million_tokens: float
    cached_prompt_per_million_tokens: float | None = None
    models: tuple[str, ...] = ("*",)  # shell patterns over the served model name
    servers: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class PriceList:
    """Of an account the first entry counts whose patterns name it; one that none names earns nothing that is known."""

    currency: str
    entries: tuple[TokenPrices, ...]


@dataclass(frozen=True, slots=True)
class Facility:
    """Node joules = GPU joules x host_factor; facility joules = node joules x pue. Both are 1.0 unless configured."""

    host_factor: float = 1.0
    pue: float = 1.0


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grid intensity in grams of CO2 equivalent per kWh at the facility's meter."""

    grams_per_kwh: float
