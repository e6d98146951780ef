"""The operator's file as strict, frozen sections, and what they mean to the pure core."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from goodwatt.engines import load_profiles
from goodwatt.engines.profile import Profile
from goodwatt.model.alerting import Alerting
from goodwatt.model.engine import Signal
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from goodwatt.model.tariff import Carbon, Facility, PriceList, Tariff, TokenPrices
from goodwatt.settings.alerts import AlertsSection
from goodwatt.settings.section import Section
from goodwatt.settings.sources import DiscoverySection, GpusSection, OtlpSection, ServerSection

# Less than the frame gives a source, so that the line about a late server comes from whoever knows its address.
READ_SHARE = 0.75
MAX_SERVERS = 64  # that one process reads

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


class RevenueSection(Section):
    """What tokens earn."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code; value of the label `currency`.")
    prices: tuple[PricesSection, ...] = Field(
        min_length=1, description="Prices; of a server and model the first entry counts whose patterns name them."
    )


class FacilitySection(Section):
    """The factors that carry the GPUs' joules to the facility's meter."""

    host_factor: float = Field(
        1.0, ge=1, le=10, description="Joules of the whole machine per joule of its GPUs; 1.0 leaves the host out."
    )
    pue: float = Field(
        1.0, ge=1, le=10, description="Power usage effectiveness: joules of the facility per joule of its machines."
    )


class CarbonSection(Section):
    """What the energy emits."""

    grams_per_kwh: float = Field(ge=0, le=5000, description="Grams of CO2 equivalent per kWh at the facility's meter.")


class CustomProfile(Profile):
    """An engine profile of the operator's own: the shape of those shipped, and whether it stands for one of them."""

    replaces_shipped: bool = Field(False, description="`true` where it takes the place of the profile of its name.")


DEFAULT_SLO_SECTIONS = (SloSection(name="default", ttft_seconds=1.0, tpot_seconds=0.1),)


class Config(Section):
    """The whole file. Every key may be left out."""

    interval_seconds: float = Field(5.0, ge=0.2, le=300, description="Time between two reads of every source.")
    window_seconds: float = Field(
        60.0, le=3600, description="Time that the live gauges look back over; at least twice `interval_seconds`."
    )
    gpus: GpusSection = Field(default_factory=GpusSection, description="Where GPU power and energy are read.")
    servers: tuple[ServerSection, ...] | None = Field(
        None,
        description="The inference servers to read. Absent: the usual local ports are tried; `[]`: none.",
    )
    server_discovery: tuple[DiscoverySection, ...] = Field(
        (), description="Files that list more servers to read and may change at any time. With it no port is tried."
    )
    otlp: OtlpSection | None = Field(
        None, description="Where servers send their spans; `{}` takes the defaults. Absent: nothing listens."
    )
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

    @property
    def looks_on_local_ports(self) -> bool:
        """Whether nothing says which servers to read."""
        return self.servers is None and not self.server_discovery

    def without_listeners(self) -> "Config":
        """The same, but for what waits for others to come: spans and proxies."""
        if self.servers is None:
            return self.model_copy(update={"otlp": None})
        read = tuple(server.model_copy(update={"proxy": None}) for server in self.servers if server.url is not None)
        return self.model_copy(update={"otlp": None, "servers": read})

    def watched_servers(self) -> tuple[ServerSection, ...] | None:
        """The servers, each `paced`; None: the file names none, not even an empty list."""
        return None if self.servers is None else tuple(map(self.paced, self.servers))

    def paced(self, server: ServerSection) -> ServerSection:
        """`server` with its timeout cut to three quarters of the interval, so that no tick overruns."""
        longest = self.interval_seconds * READ_SHARE
        return server.model_copy(update={"timeout_seconds": min(server.timeout_seconds, longest)})

    def engine_profiles(self) -> Mapping[str, Profile]:
        """The operator's profiles in the order of the file, then those shipped that they do not replace."""
        own: dict[str, Profile] = {profile.name: profile for profile in self.profiles}
        return own | {name: shipped for name, shipped in load_profiles().items() if name not in own}

    def slo_nouns(self) -> tuple[Slo, ...]:
        """Every objective, in the order of the file."""
        return tuple(slo.to_model() for slo in self.slos)

    def tariff(self) -> Tariff | None:
        """None: nothing is known of cost, and none is published."""
        cost = self.cost
        return None if cost is None else Tariff(cost.currency, cost.price_per_gpu_hour, cost.price_per_kwh)

    def price_list(self) -> PriceList | None:
        """None: nothing is known of revenue, and none is published."""
        if self.revenue is None:
            return None
        return PriceList(
            self.revenue.currency, tuple(TokenPrices(**entry.model_dump()) for entry in self.revenue.prices)
        )

    def facility_noun(self) -> Facility:
        """Both factors are 1.0 unless configured."""
        return Facility(self.facility.host_factor, self.facility.pue)

    def carbon_noun(self) -> Carbon | None:
        """None: nothing is known of carbon, and none is published."""
        return None if self.carbon is None else Carbon(self.carbon.grams_per_kwh)

    def alerting(self) -> Alerting:
        """What the generated alerts compare with. Objectives that the file does not name are whatever is published."""
        objectives = self.slo_nouns() if "slos" in self.model_fields_set else None
        return self.alerts.to_model(objectives, self.cost.currency if self.cost else None, self.window_seconds)

    def policy(self, servers: Iterable[ServerSection] | None = None) -> Policy:
        """All that the fold needs, with these servers or else those of this file.

        A server that runs on all GPUs is absent from `server_gpus`.
        """
        known = (self.servers or ()) if servers is None else servers
        return Policy(
            interval_seconds=self.interval_seconds,
            window_seconds=self.window_seconds,
            server_gpus={server.name: server.gpus for server in known if server.gpus != "all"},
            slos=self.slo_nouns(),
            tariff=self.tariff(),
            price_list=self.price_list(),
            facility=self.facility_noun(),
            carbon=self.carbon_noun(),
        )
