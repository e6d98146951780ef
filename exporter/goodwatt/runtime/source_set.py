"""The set of sources that are read: GPUs, span receivers, and servers from the file, target files and local ports."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from goodwatt.config.plan import Plan
from goodwatt.engines.profile import Profile
from goodwatt.model.source import server_source
from goodwatt.runtime.discovery.local_ports import LocalPorts
from goodwatt.runtime.discovery.target_files import TargetFiles
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.server_selection import Candidate, RefusedServer, select_servers
from goodwatt.settings.section import SourceSection
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.open import ServerProxy, SourceContext, open_source, server_proxy
from goodwatt.sources.source import Source

log = logging.getLogger(__name__)

# Discovery runs once per interval within these bounds: a short interval need not list files more often, and with a long
# one a new server is still found soon.
SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 5.0
_LISTED_NAMES = 20  # server names in one log line


@dataclass(frozen=True, slots=True)
class _ServerSources:
    """The open sources of one server. They keep their connections while nothing they depend on changes."""

    section: ServerSection
    profiles: tuple[tuple[str, Profile], ...]  # the engines that it may be recognised as
    page: Source | None
    proxy: Source | None

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(source for source in (self.page, self.proxy) if source is not None)

    def may_be_another_server_than(self, before: "_ServerSources") -> bool:
        """Whether the name may now stand for another server, so that its counters need a new baseline."""
        if self.page is None:  # the proxy counts the tokens, and a new proxy starts at 0
            return self.proxy is not before.proxy
        same = (self.section.url, self.section.engine) == (before.section.url, before.section.engine)
        return not same or self.profiles != before.profiles


@dataclass(frozen=True, slots=True)
class _SectionSource:
    """The source of a top-level section, open while all it depends on is equal. None: the section turns it off."""

    section: SourceSection
    profiles: Mapping[str, Profile] | None  # None where the source does not use them
    source: Source | None


class SourceSet:
    """Decides which sources the sampler reads, and with which policy, whenever the file, target files or ports change.

    A source whose settings have not changed stays open through every change.
    """

    def __init__(self, sampler: Sampler, plan: Plan, context: SourceContext, local: LocalPorts | None = None) -> None:
        self._sampler = sampler
        self._plan = plan
        self._context = replace(context, profiles=plan.profiles, servers=lambda: tuple(self._servers))
        self._local = local or LocalPorts()
        self._files = TargetFiles()
        self._section_sources: Mapping[type[SourceSection], _SectionSource] = {}
        self._servers: Mapping[str, _ServerSources] = {}
        self._refused: frozenset[RefusedServer] = frozenset()
        self._applied = False
        self._one_at_a_time = asyncio.Lock()

    async def refresh(self) -> None:
        """Check local ports and target files once; changes are read from the next tick on. Takes seconds at most."""
        async with self._one_at_a_time:
            if await self._discover(self._plan) or not self._applied:
                self._apply()

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            interval = self._plan.policy.interval_seconds
            await asyncio.sleep(min(max(interval, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS))
            await self.refresh()

    async def apply_config(self, plan: Plan, then: Callable[[], None]) -> None:
        """Read what `plan` names under its policy from the next tick on, and call `then` when it takes effect.

        Sources whose settings have not changed stay open.
        """
        async with self._one_at_a_time:
            if not plan.discovers_local_ports or not self._plan.discovers_local_ports:
                self._local.forget()
            await self._discover(plan)
            self._plan, self._context = plan, replace(self._context, profiles=plan.profiles)
            self._apply(then)

    async def aclose(self) -> None:
        """Stop the thread that reads target files. The sampler closes the sources."""
        await self._files.aclose()

    async def _discover(self, plan: Plan) -> bool:
        """Whether the servers that ports or target files name changed."""
        now = asyncio.get_running_loop().time()
        found = plan.discovers_local_ports and await self._local.refresh(plan.profiles, now)
        return await self._files.refresh(plan.discovery) or found

    def _apply(self, then: Callable[[], None] = lambda: None) -> None:
        selection = select_servers(self._candidates(), self._plan.profiles)
        self._log_refused(frozenset(selection.refused))
        self._section_sources = {type(section): self._section_source(section) for section in self._plan.sources}
        servers = {section.name: self._server_sources(section) for section in selection.servers}
        before, self._servers, self._applied = self._servers, servers, True
        _log_removed(before.keys() - servers.keys())
        replaced = [
            name
            for name, server in servers.items()
            if name in before and server.may_be_another_server_than(before[name])
        ]
        of_sections = (kept.source for kept in self._section_sources.values() if kept.source is not None)
        self._sampler.change(
            [*of_sections, *chain(*(server.sources for server in servers.values()))],
            self._plan.policy_for(selection.servers),
            replaced=replaced,
            then=then,
        )

    def _candidates(self) -> Iterable[Candidate]:
        yield from map(Candidate, self._plan.servers)
        yield from self._files.candidates(self._plan.discovery)
        if self._plan.discovers_local_ports:
            yield from self._local.candidates(self._plan)

    def _section_source(self, section: SourceSection) -> _SectionSource:
        profiles = self._plan.profiles if section.uses_engine_profiles else None
        before = self._section_sources.get(type(section))
        if before is not None and (before.section, before.profiles) == (section, profiles):
            return before
        return _SectionSource(section, profiles, open_source(section, self._context))

    def _server_sources(self, section: ServerSection) -> _ServerSources:
        known = self._plan.profiles
        profiles = tuple(known.items()) if section.engine == "auto" else ((section.engine, known[section.engine]),)
        before = self._servers.get(section.name)
        if before is not None and (before.section, before.profiles) == (section, profiles):
            return before
        page = open_source(section, self._context)
        return _ServerSources(section, profiles, page, self._proxy_source(server_proxy(section), before))

    def _proxy_source(self, wanted: ServerProxy | None, before: _ServerSources | None) -> Source | None:
        """Keep the open proxy, with its clients and their streams, while its own settings are equal."""
        if wanted is None:
            return None
        unchanged = before is not None and server_proxy(before.section) == wanted
        return before.proxy if before is not None and unchanged else open_source(wanted, self._context)

    def _log_refused(self, refused: frozenset[RefusedServer]) -> None:
        by_cause: dict[tuple[str, str], list[str]] = {}
        for server in sorted(refused - self._refused, key=lambda server: server.name):
            by_cause.setdefault((server.origin, server.why), []).append(server.name)
        self._refused = refused
        for (origin, why), names in by_cause.items():
            more = f" and {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else ""
            log.error("%s: not read: %s%s: %s", origin, ", ".join(names[:_LISTED_NAMES]), more, why)


def _log_removed(names: Iterable[str]) -> None:
    for name in sorted(names):
        log.info("%s: no longer read", server_source(name))
