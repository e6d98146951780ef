"""What the operator wants to be told of: the targets behind the alerts that are generated for Prometheus."""

from dataclasses import dataclass, field

from goodwatt.model.slo import Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnFactors:
    """How many times faster than allowed an error budget may be spent, by the long window; None: chosen to fit."""

    over_1h: float | None = None
    over_6h: float | None = None
    over_1d: float | None = None
    over_3d: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """Every figure that an alert compares with, and how long the windows must be.

    `objectives` None: whatever objectives the metrics name, at the shares that they name. `disabled` are names of
    alerts. `scale` makes every window and waiting time so many times as long: for trials, not for production.
    """

    objectives: tuple[Slo, ...] | None = None
    burn: BurnFactors = field(default_factory=BurnFactors)
    minimum_requests: int = 20
    efficiency_drop_ratio: float = 0.25
    idle_ratio: float = 0.5
    unattributed_ratio: float = 0.25
    energy_disagreement_ratio: float = 0.2
    cost_per_million_tokens: float | None = None  # no alert without it and the currency
    currency: str | None = None
    disabled: frozenset[str] = frozenset()
    window_seconds: float = 60.0
    runbook_url: str = "docs/runbooks.md"
    scale: float = 1.0
