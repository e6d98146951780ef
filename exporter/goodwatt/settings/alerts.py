"""The section on when somebody is to be told."""

from pydantic import Field

from goodwatt.model.alerting import Alerting, BurnFactors
from goodwatt.model.slo import Slo
from goodwatt.settings.section import Section


class AlertsSection(Section):
    """When somebody is to be told. For `goodwatt rules`, which generates the alerts; make them anew after a change."""

    minimum_requests: int = Field(
        20, ge=1, le=1_000_000, description="Requests in the long window below which an error budget wakes nobody."
    )
    burn_1h_factor: float | None = Field(
        None,
        gt=0,
        description="Burn rate over 1 h (and 5 min) that pages. Absent: 14.4, or what the objective allows "
        "(docs/alerts.md).",
    )
    burn_6h_factor: float | None = Field(
        None, gt=0, description="Burn rate over 6 h (and 30 min) that pages. Absent: 6, or what the objective allows."
    )
    burn_1d_factor: float | None = Field(
        None,
        gt=0,
        description="Burn rate over 1 d (and 2 h) that is a ticket. Absent: 3, or what the objective allows.",
    )
    burn_3d_factor: float | None = Field(
        None, gt=0, description="Burn rate over 3 d (and 6 h) that is a ticket. Absent: 1."
    )
    generated_cost_per_million_tokens: float | None = Field(
        None,
        gt=0,
        description="Target for a million generated tokens, idle time included, in the currency of `cost`. Absent: no "
        "alert.",
    )
    efficiency_drop_ratio: float = Field(
        0.25, gt=0, lt=1, description="Share of tokens per joule whose loss, at like load, is told."
    )
    idle_ratio: float = Field(
        0.5, gt=0, lt=1, description="Share of a model's energy spent without a request, above which it is told."
    )
    unattributed_ratio: float = Field(
        0.25, gt=0, lt=1, description="Share of the GPUs' energy that no server claims, above which it is told."
    )
    energy_disagreement_ratio: float = Field(
        0.2, gt=0, description="Difference between energy counter and power sensor above which it is told."
    )
    disabled: tuple[str, ...] = Field((), description="Names of alerts that are not generated.")

    def to_model(self, objectives: tuple[Slo, ...] | None, currency: str | None, window_seconds: float) -> Alerting:
        """The same as the generator knows it."""
        return Alerting(
            objectives=objectives,
            burn=BurnFactors(
                over_1h=self.burn_1h_factor,
                over_6h=self.burn_6h_factor,
                over_1d=self.burn_1d_factor,
                over_3d=self.burn_3d_factor,
            ),
            minimum_requests=self.minimum_requests,
            efficiency_drop_ratio=self.efficiency_drop_ratio,
            idle_ratio=self.idle_ratio,
            unattributed_ratio=self.unattributed_ratio,
            energy_disagreement_ratio=self.energy_disagreement_ratio,
            cost_per_million_tokens=self.generated_cost_per_million_tokens,
            currency=currency,
            disabled=frozenset(self.disabled),
            window_seconds=window_seconds,
        )
