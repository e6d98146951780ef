"""Service level objectives: named sets of latency thresholds."""

from dataclasses import dataclass
from enum import StrEnum

from exporter.model.engine import Signal


class Bound(StrEnum):
    """What a figure can promise: marginal histograms give LOWER and UPPER, per-request records give EXACT."""

    LOWER = "lower"
    UPPER = "upper"
    EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A request meets it when the latency is <= `seconds`. `signal` is TTFT, TPOT or E2E."""

    signal: Signal
    seconds: float


@dataclass(frozen=True, slots=True)
class Slo:
    """A request is good when it succeeded and meets every threshold; `objective` is the promised share of good ones."""

    name: str
    thresholds: tuple[Threshold, ...]
    objective: float
    models: tuple[str, ...] = ("*",)  # shell patterns over the served model name
    servers: tuple[str, ...] = ("*",)
