"""Opens the source that a section of the configuration describes."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from goodwatt.engines.profile import Profile
from goodwatt.model.gpu_driver import GpuDriver
from goodwatt.settings.section import SourceSection
from goodwatt.settings.sources import GpusSection, OtlpSection, ProxySection, ServerSection
from goodwatt.sources.engine.source import EngineSource
from goodwatt.sources.gpu.source import gpu_source
from goodwatt.sources.otlp.source import OtlpSource
from goodwatt.sources.proxy.source import ProxySource
from goodwatt.sources.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """What sources need besides their section. `driver` replaces the machine's own; `simulated` labels readings.

    `profiles` and `servers`, the names of the servers that are read at the moment, are filled in by the source set.
    """

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    driver: GpuDriver | None = None
    simulated: bool = False
    clock: Callable[[], float] = time.monotonic
    servers: Callable[[], Collection[str]] = tuple


@dataclass(frozen=True, slots=True)
class ServerProxy:
    """The proxy in front of a server. `has_page`: the server's own metrics page is read as well."""

    server: str
    section: ProxySection
    has_page: bool


def server_proxy(section: ServerSection) -> ServerProxy | None:
    """Return the proxy that a server's section describes; None if it has none."""
    return None if section.proxy is None else ServerProxy(section.name, section.proxy, section.url is not None)


def open_source(section: SourceSection | ServerSection | ServerProxy, context: SourceContext) -> Source | None:
    """Make the source that a section configures; None if it turns the source off. Nothing is read or connected yet."""
    match section:
        case GpusSection():
            return gpu_source(section, context.driver, context.clock)
        case ServerSection():
            if section.url is None:
                return None
            clock, simulated, servers = context.clock, context.simulated, context.servers
            return EngineSource(section, context.profiles, clock=clock, simulated=simulated, servers=servers)
        case OtlpSection():
            profiles = context.profiles.values()
            return OtlpSource(section, profiles, context.servers, clock=context.clock, simulated=context.simulated)
        case ServerProxy(server, proxy, has_page):
            return ProxySource(server, proxy, has_page=has_page, clock=context.clock, simulated=context.simulated)
        case _:
            raise LookupError(f"{type(section).__name__} has no arm in open_source")
