"""Prices of GPUs, energy and tokens, and the factors from GPU joules to facility joules and carbon."""

from dataclasses import KW_ONLY, dataclass

SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Tariff:
    """Exactly one of the two prices is set. The price of a GPU hour includes electricity, never added to it."""

    currency: str
    _: KW_ONLY
    price_per_gpu_hour: float | None = None
    price_per_kwh: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """Revenue per million tokens. Without a cached price, cached prompt tokens earn the prompt price."""

    prompt_per_million_tokens: float
    generated_per_million_tokens: float
    cached_prompt_per_million_tokens: float | None = None
    models: tuple[str, ...] = ("*",)  # shell patterns over the served model name
    servers: tuple[str, ...] = ("*",)


@dataclass(frozen=True, slots=True)
class PriceList:
    """The first entry with matching patterns sets an account's prices. An account that none matches has no revenue."""

    currency: str
    entries: tuple[TokenPrices, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """Node joules = GPU joules x host_factor; facility joules = node joules x pue. Both are 1.0 unless configured."""

    host_factor: float = 1.0
    pue: float = 1.0


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grid intensity in grams of CO2 equivalent per kWh at the facility's meter."""

    grams_per_kwh: float
