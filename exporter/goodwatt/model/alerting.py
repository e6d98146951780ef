"""Thresholds and windows of the alert rules that are generated for Prometheus."""

from dataclasses import dataclass, field

from goodwatt.model.slo import Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnFactors:
    """Burn rates above which an alert fires, by its long window. None: chosen to fit the SLO."""

    over_1h: float | None = None
    over_6h: float | None = None
    over_1d: float | None = None
    over_3d: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerting:
    """Everything that the alert rules depend on.

    `objectives` None: the SLOs in the metrics, with the objectives published there. `disabled` are alert names.
    `scale` multiplies every window and `for` duration: below 1 for trials, not for production.
    """

    objectives: tuple[Slo, ...] | None = None
    burn: BurnFactors = field(default_factory=BurnFactors)
    minimum_requests: int = 20
    minimum_bad_requests: int = 3
    hung_seconds: float = 120.0
    efficiency_drop_ratio: float = 0.25
    idle_ratio: float = 0.5
    unattributed_ratio: float = 0.25
    energy_disagreement_ratio: float = 0.2
    cost_per_million_tokens: float | None = None  # no alert without it and the currency
    currency: str | None = None
    disabled: frozenset[str] = frozenset()
    runbook_url: str = "docs/runbooks.md"
    scale: float = 1.0
