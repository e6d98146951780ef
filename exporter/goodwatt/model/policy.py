"""The SLOs, prices and factors in force: the fold's input from the configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from goodwatt.model.slo import Slo
from goodwatt.model.tariff import Carbon, Facility, PriceList, Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`server_gpus` are the GPUs of each server, by index or UUID; a server that is absent runs on all of them."""

    interval_seconds: float = 5.0
    window_seconds: float = 60.0
    server_gpus: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    slos: tuple[Slo, ...] = ()
    tariff: Tariff | None = None
    price_list: PriceList | None = None
    facility: Facility = field(default_factory=Facility)
    carbon: Carbon | None = None
    missed_ticks_until_dropped: int = 3
