"""Inference servers on this machine, found by asking the ports where they usually listen."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, MutableSet
from dataclasses import dataclass

from yarl import URL

from goodwatt.engines.profile import Profile
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.source import DEFAULT_METRICS_PATH, EngineSource

# vLLM and most others, SGLang, llama-server, LMDeploy, TGI, Triton, MAX. Not those of proxies, which are read only when
# the configuration names them.
WELL_KNOWN_PORTS = (8000, 30000, 8080, 23333, 3000, 8002, 8001)


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answers as a known engine. `name` is like vllm-8000, `url` has its metrics path."""

    name: str
    url: str
    engine: str
    port: int


async def find_servers(
    profiles: Mapping[str, Profile],
    ports: Iterable[int] = WELL_KNOWN_PORTS,
    *,
    exclude_ports: Collection[int] = (),
    not_again: MutableSet[str] | None = None,
    timeout_seconds: float = 1.0,
) -> tuple[FoundServer, ...]:
    """Who answers on 127.0.0.1, in the order of the ports. Only a page that a profile recognises counts.

    Ends at about `timeout_seconds` and raises nothing for a port that is silent, closed or something else. A port is
    asked for the paths of the profiles that usually listen there, all at once but for /metrics, which comes last and
    only if the others were in vain: TensorRT-LLM's hands out a queue that another reader wants. Addresses in
    `not_again` are not asked; those that answered something that is no metrics page, and other paths than /metrics
    that answered with an error, are added to it.
    """
    asked = [port for port in dict.fromkeys(ports) if port not in exclude_ports]
    foreign = set() if not_again is None else not_again
    found = await asyncio.gather(*(_ask(profiles, port, timeout_seconds, foreign) for port in asked))
    return tuple(server for server in found if server is not None)


def _paths(profiles: Mapping[str, Profile], port: int) -> frozenset[str]:
    """Of the profiles that name the port; of all of them for a port that none names."""
    usual = frozenset(profile.path for profile in profiles.values() if port in profile.ports)
    return usual or frozenset(profile.path for profile in profiles.values())


async def _ask(
    profiles: Mapping[str, Profile], port: int, seconds: float, foreign: MutableSet[str]
) -> FoundServer | None:
    """The paths that serve metrics and nothing else get half of the time, /metrics what is left."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    paths = _paths(profiles, port)
    special = await _first(
        profiles, port, _urls(port, sorted(paths - {DEFAULT_METRICS_PATH}), foreign), seconds / 2, foreign
    )
    if special is not None or DEFAULT_METRICS_PATH not in paths:
        return special
    left = max(end - clock(), seconds / 4)
    return await _first(profiles, port, _urls(port, [DEFAULT_METRICS_PATH], foreign), left, foreign)


def _urls(port: int, paths: Iterable[str], foreign: Collection[str]) -> list[str]:
    urls = (f"http://127.0.0.1:{port}{path}" for path in paths)
    return [url for url in urls if url not in foreign]


async def _first(
    profiles: Mapping[str, Profile], port: int, urls: Iterable[str], seconds: float, foreign: MutableSet[str]
) -> FoundServer | None:
    answers = await asyncio.gather(*(_recognise(profiles, url, seconds, foreign) for url in urls))
    return next(
        (FoundServer(f"{engine}-{port}", url, engine, port) for engine, url in answers if engine is not None),
        None,
    )


async def _recognise(
    profiles: Mapping[str, Profile], url: str, seconds: float, foreign: MutableSet[str]
) -> tuple[str | None, str]:
    source = EngineSource(ServerSection(name="discovery", url=url, timeout_seconds=seconds), profiles)
    try:
        return (await source.read()).engine, url
    except SourceUnavailable as why:
        refused = why.reason in (Reason.HTTP_ERROR, Reason.METRICS_OFF) and URL(url).path != DEFAULT_METRICS_PATH
        if why.reason is Reason.NOT_METRICS or refused:
            foreign.add(url)
        return None, url
    finally:
        await source.aclose()
