"""The operator's file as strict, frozen sections, and what they mean to the pure core."""

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
    """One service level objective: a request is good when it succeeded and is within every threshold given here."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="Value of the label `slo`: 1 to 64 of letters, digits, `.`, `_` and `-`; unique.",
    )
    ttft_seconds: float | None = Field(
        None, gt=0, le=86400, description="Longest time from receiving a request to its first output token."
    )
    tpot_seconds: float | None = Field(
        None, gt=0, le=86400, description="Longest mean time per output token of a request, after the first token."
    )
    e2e_seconds: float | None = Field(None, gt=0, le=86400, description="Longest duration of a whole request.")
    objective_ratio: float = Field(0.95, gt=0, lt=1, description="Promised share of good requests: 0.99 for 99 %.")
    models: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Shell patterns of the served model names that it applies to."
    )
    servers: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Shell patterns of the server names that it applies to."
    )
    one_token_outputs: Literal["pass", "fail", "exclude"] = Field(
        "pass", description="Successes of one output token, which have no time per output token, under `tpot_seconds`."
    )
    errors: Literal["fail", "exclude"] = Field(
        "fail", description="Requests that ended with an error: `fail` counts them, and never as good."
    )
    cancelled: Literal["exclude", "fail"] = Field(
        "exclude", description="Requests that the client gave up: `fail` counts them, and never as good."
    )

    def to_model(self) -> Slo:
        """The same objective as the core knows it; thresholds in the order TTFT, TPOT, E2E."""
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
    """What running the GPUs costs: rent, or energy. One of the two prices must be given, never both."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; value of the label `currency`.")
    price_per_gpu_hour: float | None = Field(
        None, ge=0, description="Rent of one GPU for one hour, electricity included. Not with `price_per_kwh`."
    )
    price_per_kwh: float | None = Field(
        None, ge=0, description="Price of one kWh at the facility's meter. Not with `price_per_gpu_hour`."
    )

    def to_model(self) -> Tariff:
        """The tariff that the fold charges GPUs at."""
        return Tariff(self.currency, self.price_per_gpu_hour, self.price_per_kwh)


class PricesSection(Section):
    """What a million tokens earn on some models and servers."""

    prompt_per_million_tokens: float = Field(
        ge=0, description="Price of a million prompt tokens that were in no cache."
    )
    cached_prompt_per_million_tokens: float | None = Field(
        None, ge=0, description="Price of a million cached prompt tokens; absent: that of other prompt tokens."
    )
    generated_per_million_tokens: float = Field(ge=0, description="Price of a million generated tokens.")
    models: tuple[str, ...] = Field(("*",), min_length=1, description="Shell patterns of the served model names.")
    servers: tuple[str, ...] = Field(("*",), min_length=1, description="Shell patterns of the server names.")

    def to_model(self) -> TokenPrices:
        """One entry of the price list."""
        return TokenPrices(**self.model_dump())


class RevenueSection(Section):
    """What tokens earn."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; value of the label `currency`.")
    prices: tuple[PricesSection, ...] = Field(
        min_length=1, description="Prices; of a server and model the first entry counts whose patterns name them."
    )

    def to_model(self) -> PriceList:
        """The price list, its entries in the order of the file."""
        return PriceList(self.currency, tuple(entry.to_model() for entry in self.prices))


class FacilitySection(Section):
    """The factors that carry the GPUs' joules to the facility's meter."""

    host_factor: float = Field(
        1.0, ge=1, le=10, description="Joules of the whole machine per joule of its GPUs; 1.0 leaves the host out."
    )
    pue: float = Field(
        1.0, ge=1, le=10, description="Power usage effectiveness: joules of the facility per joule of its machines."
    )

    def to_model(self) -> Facility:
        """Both factors; 1.0 unless configured."""
        return Facility(self.host_factor, self.pue)


class CarbonSection(Section):
    """What the energy emits."""

    grams_per_kwh: float = Field(ge=0, le=5000, description="Grams of CO2 equivalent per kWh at the facility's meter.")

    def to_model(self) -> Carbon:
        """The carbon intensity that the fold multiplies energy by."""
        return Carbon(self.grams_per_kwh)


class CustomProfile(Profile):
    """An engine profile of the operator's own: the shape of those shipped, and whether it stands for one of them."""

    replaces_shipped: bool = Field(False, description="`true` where it takes the place of the profile of its name.")


DEFAULT_SLO_SECTIONS = (SloSection(name="default", ttft_seconds=1.0, tpot_seconds=0.1),)


class Config(SourceKeys):
    """The whole file. Every key may be left out."""

    profiles: tuple[CustomProfile, ...] = Field(
        (),
        description="Engine profiles of your own (docs/engines.md), tried before those shipped. To replace a shipped "
        "one, take its name and set `replaces_shipped: true`.",
    )
    slos: tuple[SloSection, ...] = Field(
        DEFAULT_SLO_SECTIONS,
        description="Service level objectives. Absent: one named `default` (TTFT 1 s, TPOT 0.1 s); `[]`: none.",
    )
    cost: CostSection | None = Field(None, description="What running the GPUs costs. Absent: no cost is published.")
    revenue: RevenueSection | None = Field(None, description="What tokens earn. Absent: no revenue is published.")
    facility: FacilitySection = Field(
        default_factory=FacilitySection, description="Factors from the GPUs' energy to the facility's."
    )
    carbon: CarbonSection | None = Field(None, description="What the energy emits. Absent: no carbon is published.")
    alerts: AlertsSection = Field(
        default_factory=AlertsSection, description="When the alerts of `goodwatt rules` are to fire."
    )
