"""The `alerts` section: thresholds of the generated alerts."""

from pydantic import Field

from goodwatt.model.alerting import Alerting, BurnFactors
from goodwatt.model.slo import Slo
from goodwatt.settings.section import Section


class AlertsSection(Section):
    """Thresholds of the alerts that `goodwatt rules` generates. Generate the rules again after a change here."""

    minimum_requests: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="An error budget alert needs at least this many requests in its long window.",
    )
    minimum_bad_requests: int = Field(
        3, ge=1, le=1_000_000, description="And at least this many bad ones: one failure is not a trend."
    )
    hung_seconds: float = Field(
        120.0,
        ge=10,
        le=86400,
        description="Alert when requests are in progress and nothing moves for this long; longer than the longest "
        "prefill.",
    )
    burn_1h_factor: float | None = Field(
        None,
        gt=0,
        description="Burn rate over 1 h (and 5 min) that pages. Absent: 14.4, or less if the objective needs it "
        "(docs/alerts.md).",
    )
    burn_6h_factor: float | None = Field(
        None, gt=0, description="Burn rate over 6 h (and 30 min) that pages. Absent: 6, or less."
    )
    burn_1d_factor: float | None = Field(
        None,
        gt=0,
        description="Burn rate over 1 d (and 2 h) that opens a ticket. Absent: 3, or less.",
    )
    burn_3d_factor: float | None = Field(
        None, gt=0, description="Burn rate over 3 d (and 6 h) that opens a ticket. Absent: 1."
    )
    generated_cost_per_million_tokens: float | None = Field(
        None,
        gt=0,
        description="Alert when a million generated tokens cost more than this, idle time included, in the "
        "currency of `cost`. Absent: no alert.",
    )
    efficiency_drop_ratio: float = Field(
        0.25, gt=0, lt=1, description="Alert when tokens per joule drop by this share at similar load."
    )
    idle_ratio: float = Field(
        0.5, gt=0, lt=1, description="Alert when a model spends more than this share of its energy without a request."
    )
    unattributed_ratio: float = Field(
        0.25, gt=0, lt=1, description="Alert when no server claims more than this share of the GPU energy."
    )
    energy_disagreement_ratio: float = Field(
        0.2, gt=0, description="Alert when energy counter and power sensor differ by more than this share."
    )
    disabled: tuple[str, ...] = Field((), description="Names of alerts to leave out.")

    def to_model(self, objectives: tuple[Slo, ...] | None, currency: str | None) -> Alerting:
        """Return the thresholds for the rule generator, with what other sections say about objectives and currency."""
        return Alerting(
            objectives=objectives,
            burn=BurnFactors(
                over_1h=self.burn_1h_factor,
                over_6h=self.burn_6h_factor,
                over_1d=self.burn_1d_factor,
                over_3d=self.burn_3d_factor,
            ),
            minimum_requests=self.minimum_requests,
            minimum_bad_requests=self.minimum_bad_requests,
            hung_seconds=self.hung_seconds,
            efficiency_drop_ratio=self.efficiency_drop_ratio,
            idle_ratio=self.idle_ratio,
            unattributed_ratio=self.unattributed_ratio,
            energy_disagreement_ratio=self.energy_disagreement_ratio,
            cost_per_million_tokens=self.generated_cost_per_million_tokens,
            currency=currency,
            disabled=frozenset(self.disabled),
        )
