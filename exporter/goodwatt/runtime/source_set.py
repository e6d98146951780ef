"""What is read at any moment: the GPUs, and the servers that the configuration, files and local ports name."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from goodwatt.config.config import Config
from goodwatt.engines.profile import Profile
from goodwatt.runtime.discovery.local_ports import LocalPorts
from goodwatt.runtime.discovery.target_files import TargetFiles
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.server_selection import Candidate, RefusedServer, select_servers
from goodwatt.settings.sources import OtlpSection, ServerSection
from goodwatt.sources.open import ServerProxy, SourceContext, open_source, server_proxy
from goodwatt.sources.source import Source

log = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that is read. It keeps its sources, and so its connections, while nothing of them changes."""

    section: ServerSection
    profiles: tuple[tuple[str, Profile], ...]  # that it may turn out to be
    page: Source | None
    proxy: Source | None

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for source in (self.page, self.proxy) if source is not None)

    def is_another_than(self, before: "_Server") -> bool:
        """Whether something else may be behind the name, so that counting begins anew."""
        if self.page is None:  # then it is the proxy that counts, and a new one begins at 0
            return self.proxy is not before.proxy
        same = (self.section.url, self.section.engine) == (before.section.url, before.section.engine)
        return not same or self.profiles != before.profiles


@dataclass(frozen=True, slots=True)
class _Otlp:
    """The receiver of spans. It keeps what it has received while nothing of it changes."""

    section: OtlpSection
    profiles: Mapping[str, Profile]
    source: Source


class SourceSet:
    """Tells the sampler what to read and under which rules, whenever that changes."""

    def __init__(self, sampler: Sampler, config: Config, world: SourceContext, local: LocalPorts | None = None) -> None:
        self._sampler = sampler
        self._config = config
        self._world = replace(world, servers=lambda: tuple(self._servers))
        self._local = local or LocalPorts()
        self._files = TargetFiles()
        self._gpus: Source | None = None
        self._otlp: _Otlp | None = None
        self._servers: Mapping[str, _Server] = {}
        self._refused: frozenset[RefusedServer] = frozenset()
        self._begun = False
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> None:
        """Look at local ports and files once; what has changed is read from the next tick on. Takes seconds at most."""
        async with self._one_at_a_time:
            if await self._find(self._config, self._world) or not self._begun:
                self._apply()

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(min(max(self._config.interval_seconds, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
            await self.refresh()

    async def apply_config(self, config: Config, then: Callable[[], None]) -> None:
        """Watch what another configuration names, and count under its rules, from the next tick on.

        Sources whose part of the configuration has not changed go on as they are. `then` is called when it happens.
        """
        world = replace(self._world, profiles=config.engine_profiles())
        async with self._one_at_a_time:
            if not config.looks_on_local_ports or not self._config.looks_on_local_ports:
                self._local.forget()
            await self._find(config, world)
            self._config, self._world = config, world
            self._apply(then)

    async def aclose(self) -> None:
        """End what looks at files."""
        await self._files.aclose()

    async def _find(self, config: Config, world: SourceContext) -> bool:
        """Whether anything changed."""
        now = asyncio.get_running_loop().time()
        found = config.looks_on_local_ports and await self._local.refresh(world.profiles, now)
        return await self._files.refresh(config) or found

    def _apply(self, then: Callable[[], None] = lambda: None) -> None:
        chosen = select_servers(self._candidates(), self._world.profiles)
        self._tell_refused(frozenset(chosen.refused))
        servers = {section.name: self._server(section) for section in chosen.servers}
        before, self._servers, self._begun = self._servers, servers, True
        self._open_gpus()
        self._open_otlp()
        _tell_gone(before.keys() - servers.keys())
        beside = (self._gpus, None if self._otlp is None else self._otlp.source)
        self._sampler.change(
            [
                *(source for source in beside if source is not None),
                *chain(*(server.sources for server in servers.values())),
            ],
            self._config.policy(chosen.servers),
            anew=[name for name, server in servers.items() if name in before and server.is_another_than(before[name])],
            then=then,
        )

    def _candidates(self) -> Iterable[Candidate]:
        yield from map(Candidate, self._config.watched_servers() or ())
        yield from self._files.candidates(self._config)
        if self._config.looks_on_local_ports:
            yield from self._local.candidates(self._config)

    def _server(self, section: ServerSection) -> _Server:
        known = self._world.profiles
        profiles = tuple(known.items()) if section.engine == "auto" else ((section.engine, known[section.engine]),)
        before = self._servers.get(section.name)
        if before is not None and (before.section, before.profiles) == (section, profiles):
            return before
        return _Server(section, profiles, open_source(section, self._world), self._proxy(server_proxy(section), before))

    def _proxy(self, wanted: ServerProxy | None, before: _Server | None) -> Source | None:
        """The same one, with its clients and their streams, while nothing of its own changes."""
        if wanted is None:
            return None
        same = before is not None and server_proxy(before.section) == wanted
        return before.proxy if before is not None and same else open_source(wanted, self._world)

    def _open_gpus(self) -> None:
        if self._config.gpus.kind == "none":
            self._gpus = None
        elif self._gpus is None:
            self._gpus = open_source(self._config.gpus, self._world)

    def _open_otlp(self) -> None:
        section, profiles = self._config.otlp, self._world.profiles
        if section is None:
            self._otlp = None
        elif self._otlp is None or (self._otlp.section, self._otlp.profiles) != (section, profiles):
            source = open_source(section, self._world)
            assert source is not None
            self._otlp = _Otlp(section, profiles, source)

    def _tell_refused(self, refused: frozenset[RefusedServer]) -> None:
        by_cause: dict[tuple[str, str], list[str]] = {}
        for one in sorted(refused - self._refused, key=lambda one: one.name):
            by_cause.setdefault((one.origin, one.why), []).append(one.name)
        self._refused = refused
        for (origin, why), names in by_cause.items():
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            log.error("%s: not read: %s%s: %s", origin, ", ".join(names[:_SHOWN]), more, why)


def _tell_gone(names: Iterable[str]) -> None:
    for name in sorted(names):
        log.info("server/%s: no longer watched", name)
