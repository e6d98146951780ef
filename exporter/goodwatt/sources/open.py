"""Opens the source that a section of the configuration asks for."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import assert_never

from goodwatt.engines.profile import Profile
from goodwatt.model.gpu_driver import GpuDriver
from goodwatt.settings.sources import GpusSection, OtlpSection, ProxySection, ServerSection
from goodwatt.sources.engine.source import EngineSource
from goodwatt.sources.gpu.source import gpu_source
from goodwatt.sources.otlp.source import OtlpSource
from goodwatt.sources.proxy.source import ProxySource
from goodwatt.sources.source import Source


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What sources need besides their section. `driver` replaces the machine's own; `simulated` labels readings.

    `servers` are the names of the servers that are read at the moment.
    """

    profiles: Mapping[str, Profile]
    driver: GpuDriver | None = None
    simulated: bool = False
    clock: Callable[[], float] = time.monotonic
    servers: Callable[[], Collection[str]] = tuple


@dataclass(frozen=True, slots=True)
class ServerProxy:
    """The proxy that a server's section asks for. `has_page`: the server's own metrics page is read as well."""

    server: str
    section: ProxySection
    has_page: bool


def server_proxy(section: ServerSection) -> ServerProxy | None:
    """None where a server has no proxy."""
    return None if section.proxy is None else ServerProxy(section.name, section.proxy, section.url is not None)


def open_source(
    section: GpusSection | ServerSection | OtlpSection | ServerProxy, world: SourceContext
) -> Source | None:
    """The source that a section asks for; None where it asks for none. Nothing is read or connected yet."""
    match section:
        case GpusSection():
            return gpu_source(section, world.driver, world.clock)
        case ServerSection():
            if section.url is None:
                return None
            return EngineSource(section, world.profiles, clock=world.clock, simulated=world.simulated)
        case OtlpSection():
            profiles = world.profiles.values()
            return OtlpSource(section, profiles, world.servers, clock=world.clock, simulated=world.simulated)
        case ServerProxy(server, proxy, has_page):
            return ProxySource(server, proxy, has_page=has_page, clock=world.clock, simulated=world.simulated)
        case _:
            assert_never(section)
