"""Selects the servers to read among those that the configuration, target files and local ports name."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from goodwatt.config.validation.urls import same_page
from goodwatt.settings.sources import MAX_SERVERS, ServerSection


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server and the target file or ports that name it; an empty origin is the configuration file."""

    section: ServerSection
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RefusedServer:
    """A server that is not read, with the reason `why` for the log."""

    name: str
    origin: str
    why: str


@dataclass(frozen=True, slots=True)
class ServerSelection:
    """The servers to read: unique names and metrics pages, known engines, at most MAX_SERVERS."""

    servers: tuple[ServerSection, ...]
    refused: tuple[RefusedServer, ...]


def select_servers(candidates: Iterable[Candidate], engines: Collection[str]) -> ServerSelection:
    """Select the first server of each name and page. An exact duplicate is ignored, not refused."""
    servers: dict[str, ServerSection] = {}
    pages: dict[object, str] = {}
    refused = []
    for candidate in candidates:
        section, page = candidate.section, _address(candidate.section)
        if section.name in servers and pages.get(page) == section.name:
            continue
        why = _why_not(section, servers, pages.get(page), engines)
        if why is None:
            servers[section.name] = section
            pages[page] = section.name
        else:
            refused.append(RefusedServer(section.name, candidate.origin, why))
    return ServerSelection(tuple(servers.values()), tuple(refused))


def _address(section: ServerSection) -> object:
    """Return what must be unique to a server: its page, or the address of its proxy."""
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
        return f"unknown engine; known: {', '.join(engines)}"
    if len(servers) >= MAX_SERVERS:
        return f"one process reads at most {MAX_SERVERS} servers; run another for the rest"
    return None
