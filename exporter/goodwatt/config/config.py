"""The whole configuration file as strict, frozen sections, and their conversion to model records."""

from typing import Literal

from pydantic import Field

from goodwatt.engines.profile import Profile
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from goodwatt.model.tariff import Carbon, Facility, PriceList, Tariff, TokenPrices
from goodwatt.settings.alerts import AlertsSection
from goodwatt.settings.section import Section
from goodwatt.settings.sources import SourceKeys

NAME_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"


class SloSection(Section):
    """One service level objective: a request is good if it succeeded and met every threshold given here."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="Value of the label `slo`: 1 to 64 letters, digits, `.`, `_` or `-`; unique.",
    )
    ttft_seconds: float | None = Field(
        None, gt=0, le=86400, description="Maximum time from receiving a request to its first output token."
    )
    tpot_seconds: float | None = Field(
        None, gt=0, le=86400, description="Maximum mean time per output token of a request, after the first token."
    )
    e2e_seconds: float | None = Field(None, gt=0, le=86400, description="Maximum duration of a whole request.")
    objective_ratio: float = Field(0.95, gt=0, lt=1, description="Target share of good requests: 0.99 for 99 %.")
    models: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Shell patterns of the model names it applies to."
    )
    servers: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Shell patterns of the server names it applies to."
    )
    one_token_outputs: Literal["pass", "fail", "exclude"] = Field(
        "pass",
        description="How `tpot_seconds` judges a successful request with one output token, which has no time per "
        "output token.",
    )
    errors: Literal["fail", "exclude"] = Field(
        "fail", description="Requests that ended in an error: `fail` counts them as not good, `exclude` ignores them."
    )
    cancelled: Literal["exclude", "fail"] = Field(
        "exclude",
        description="Requests that the client cancelled: `fail` counts them as not good, `exclude` ignores them.",
    )

    def to_model(self) -> Slo:
        """Return the objective for the fold, its thresholds in the order TTFT, TPOT, E2E."""
        given = ((Signal.TTFT, self.ttft_seconds), (Signal.TPOT, self.tpot_seconds), (Signal.E2E, self.e2e_seconds))
        thresholds = tuple(Threshold(signal, seconds) for signal, seconds in given if seconds is not None)
        return Slo(
            name=self.name,
            thresholds=thresholds,
            objective=self.objective_ratio,
            models=self.models,
            servers=self.servers,
            one_token_outputs=OneTokenOutputs(self.one_token_outputs),
            errors=Errors(self.errors),
            cancelled=Cancelled(self.cancelled),
        )


class CostSection(Section):
    """What the GPUs cost: rent or energy. Give exactly one of the two prices."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; value of the label `currency`.")
    price_per_gpu_hour: float | None = Field(
        None, ge=0, description="Rent of one GPU for one hour, electricity included. Not together with `price_per_kwh`."
    )
    price_per_kwh: float | None = Field(
        None, ge=0, description="Price of one kWh at the facility's meter. Not together with `price_per_gpu_hour`."
    )

    def to_model(self) -> Tariff:
        """Return the tariff that GPU time or energy is charged at."""
        return Tariff(self.currency, price_per_gpu_hour=self.price_per_gpu_hour, price_per_kwh=self.price_per_kwh)


class PricesSection(Section):
    """Token prices for some models and servers."""

    prompt_per_million_tokens: float = Field(ge=0, description="Price of a million uncached prompt tokens.")
    cached_prompt_per_million_tokens: float | None = Field(
        None, ge=0, description="Price of a million cached prompt tokens. Absent: that of uncached ones."
    )
    generated_per_million_tokens: float = Field(ge=0, description="Price of a million generated tokens.")
    models: tuple[str, ...] = Field(("*",), min_length=1, description="Shell patterns of the model names.")
    servers: tuple[str, ...] = Field(("*",), min_length=1, description="Shell patterns of the server names.")

    def to_model(self) -> TokenPrices:
        """Return one entry of the price list."""
        return TokenPrices(**self.model_dump())


class RevenueSection(Section):
    """Token prices, for revenue and margin."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; value of the label `currency`.")
    prices: tuple[PricesSection, ...] = Field(
        min_length=1, description="Token prices; the first entry that matches server and model applies."
    )

    def to_model(self) -> PriceList:
        """Return the price list, its entries in the order of the file."""
        return PriceList(self.currency, tuple(entry.to_model() for entry in self.prices))


class FacilitySection(Section):
    """Factors from GPU energy to energy at the facility's meter."""

    host_factor: float = Field(
        1.0, ge=1, le=10, description="Energy of the whole machine per unit of GPU energy; 1.0 leaves the host out."
    )
    pue: float = Field(
        1.0,
        ge=1,
        le=10,
        description="Power usage effectiveness: energy of the facility per unit of energy of its machines.",
    )

    def to_model(self) -> Facility:
        """Return both factors; 1.0 unless configured."""
        return Facility(host_factor=self.host_factor, pue=self.pue)


class CarbonSection(Section):
    """Carbon intensity of the electricity."""

    grams_per_kwh: float = Field(ge=0, le=5000, description="Grams of CO2 equivalent per kWh at the facility's meter.")

    def to_model(self) -> Carbon:
        """Return the carbon intensity that facility energy is multiplied by."""
        return Carbon(self.grams_per_kwh)


class CustomProfile(Profile):
    """An engine profile in the operator's file: the same shape as a shipped one, plus whether it replaces one."""

    replaces_shipped: bool = Field(False, description="`true` replaces the shipped profile of the same name.")


DEFAULT_SLO_SECTIONS = (SloSection(name="default", ttft_seconds=1.0, tpot_seconds=0.1),)


class Config(SourceKeys):
    """The whole file. Every key is optional."""

    profiles: tuple[CustomProfile, ...] = Field(
        (),
        description="Your own engine profiles (docs/engines.md), tried before the shipped ones. To replace a shipped "
        "one, use its name and set `replaces_shipped: true`.",
    )
    slos: tuple[SloSection, ...] = Field(
        DEFAULT_SLO_SECTIONS,
        description="Service level objectives. Absent: one named `default` (TTFT 1 s, TPOT 0.1 s); `[]`: none.",
    )
    cost: CostSection | None = Field(None, description="What the GPUs cost. Absent: no cost is published.")
    revenue: RevenueSection | None = Field(None, description="Token prices. Absent: no revenue is published.")
    facility: FacilitySection = Field(
        default_factory=FacilitySection, description="Factors from GPU energy to facility energy."
    )
    carbon: CarbonSection | None = Field(None, description="Carbon intensity. Absent: no carbon is published.")
    alerts: AlertsSection = Field(
        default_factory=AlertsSection, description="Thresholds of the alerts that `goodwatt rules` generates."
    )
