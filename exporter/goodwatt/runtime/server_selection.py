"""Which servers are read, of all that the configuration, files and local ports name."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from goodwatt.config.validation.urls import same_page
from goodwatt.settings.sources import MAX_SERVERS, ServerSection


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that `origin` names; an empty origin is the configuration itself."""

    section: ServerSection
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RefusedServer:
    """A server that is not read, and why."""

    name: str
    origin: str
    why: str


@dataclass(frozen=True, slots=True)
class ServerSelection:
    """Names and pages of `servers` differ, their engines are known, and there are at most MAX_SERVERS."""

    servers: tuple[ServerSection, ...]
    refused: tuple[RefusedServer, ...]


def select_servers(candidates: Iterable[Candidate], engines: Collection[str]) -> ServerSelection:
    """The first of each name and page. A server that is listed again just as it was is no fault."""
    servers: dict[str, ServerSection] = {}
    pages: dict[object, str] = {}
    refused = []
    for candidate in candidates:
        section, page = candidate.section, _place(candidate.section)
        if section.name in servers and pages.get(page) == section.name:
            continue
        why = _why_not(section, servers, pages.get(page), engines)
        if why is None:
            servers[section.name] = section
            pages[page] = section.name
        else:
            refused.append(RefusedServer(section.name, candidate.origin, why))
    return ServerSelection(tuple(servers.values()), tuple(refused))


def _place(section: ServerSection) -> object:
    """What no two servers share: their page, or where their clients connect."""
    if section.url is not None:
        return same_page(section.url)
    return None if section.proxy is None else section.proxy.listen


def _why_not(
    section: ServerSection, servers: Collection[str], reader: str | None, engines: Collection[str]
) -> str | None:
    if section.name in servers:
        return "another server has this name"
    if reader is not None:
        return f"server {reader} has the same address"
    if section.engine != "auto" and section.engine not in engines:
        return f"no engine of this name is known; known: {', '.join(engines)}"
    if len(servers) >= MAX_SERVERS:
        return f"one goodwatt reads at most {MAX_SERVERS} servers; run another for the rest"
    return None
