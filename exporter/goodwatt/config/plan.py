"""Resolves the configuration file once into what each part of a running goodwatt needs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from goodwatt.config.config import Config
from goodwatt.config.redacted import config_hash, redacted
from goodwatt.engines import load_profiles
from goodwatt.engines.profile import Profile
from goodwatt.model.alerting import Alerting
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo
from goodwatt.settings.section import SourceSection
from goodwatt.settings.sources import DiscoverySection, ServerSection

# A server's timeout ends before the deadline that the sampler sets (0.8 of the interval), so that the log line about a
# slow server comes from its source, which knows the address.
READ_SHARE = 0.75

_ScrapeT = TypeVar("_ScrapeT", ServerSection, DiscoverySection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One version of the configuration file, resolved: defaults, engine profiles and timeouts are filled in.

    `sources` are the sections that configure one source each; `servers` and `discovery` have timeouts that fit the
    interval. `policy` assigns no GPUs: `policy_for` adds those of the servers that are read. `redacted_text` is what
    /config shows.
    """

    policy: Policy
    sources: tuple[SourceSection, ...]
    servers: tuple[ServerSection, ...]
    discovery: tuple[DiscoverySection, ...]
    discovers_local_ports: bool
    profiles: Mapping[str, Profile]
    redacted_text: str
    config_hash: str

    def policy_for(self, servers: Iterable[ServerSection]) -> Policy:
        """The policy with the GPUs of `servers`. A server that runs on all GPUs is absent from `server_gpus`."""
        return replace(self.policy, server_gpus={one.name: one.gpus for one in servers if one.gpus != "all"})

    def with_timeout(self, server: ServerSection) -> ServerSection:
        """`server` with its timeout cut to three quarters of the interval."""
        return _with_timeout(server, self.policy.interval_seconds)

    def without_listeners(self) -> "Plan":
        """Leave out everything that opens a port: the OTLP receiver and the proxies.

        Servers that have only a proxy are left out with it.
        """
        return replace(
            self,
            sources=tuple(section for section in self.sources if not hasattr(section, "listen")),
            servers=tuple(one.model_copy(update={"proxy": None}) for one in self.servers if one.url is not None),
        )


def make_plan(config: Config) -> Plan:
    """Resolve a valid configuration. Reads the engine profiles, so it blocks for some ten milliseconds."""
    interval = config.interval_seconds
    return Plan(
        policy=_policy(config),
        sources=tuple(_source_sections(config)),
        servers=tuple(_with_timeout(server, interval) for server in config.servers or ()),
        discovery=tuple(_with_timeout(section, interval) for section in config.server_discovery),
        discovers_local_ports=config.servers is None and not config.server_discovery,
        profiles=engine_profiles(config),
        redacted_text=redacted(config),
        config_hash=config_hash(config),
    )


def engine_profiles(config: Config) -> Mapping[str, Profile]:
    """Return the operator's profiles in the order of the file, then the shipped ones that they do not replace."""
    custom: dict[str, Profile] = {profile.name: profile for profile in config.profiles}
    return custom | {name: shipped for name, shipped in load_profiles().items() if name not in custom}


def alerting(config: Config) -> Alerting:
    """Return what the generated alerts compare with.

    Without `slos` in the file `objectives` is None: the alerts then apply to every objective that is published.
    """
    objectives = slo_models(config) if "slos" in config.model_fields_set else None
    currency = config.cost.currency if config.cost else None
    return config.alerts.to_model(objectives, currency)


def slo_models(config: Config) -> tuple[Slo, ...]:
    """Return every objective, in the order of the file; without any, the default one."""
    is_default = "slos" not in config.model_fields_set
    return tuple(replace(slo.to_model(), is_default=is_default) for slo in config.slos)


def _policy(config: Config) -> Policy:
    return Policy(
        interval_seconds=config.interval_seconds,
        window_seconds=config.window_seconds,
        slos=slo_models(config),
        tariff=config.cost.to_model() if config.cost else None,
        price_list=config.revenue.to_model() if config.revenue else None,
        facility=config.facility.to_model(),
        carbon=config.carbon.to_model() if config.carbon else None,
    )


def _source_sections(config: Config) -> Iterator[SourceSection]:
    for key in type(config).model_fields:
        section = getattr(config, key)
        if isinstance(section, SourceSection):
            yield section.resolved()


def _with_timeout(section: _ScrapeT, interval_seconds: float) -> _ScrapeT:
    longest = interval_seconds * READ_SHARE
    return section.model_copy(update={"timeout_seconds": min(section.timeout_seconds, longest)})
