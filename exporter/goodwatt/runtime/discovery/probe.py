"""Finds inference servers on this machine by probing the ports they usually listen on."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, MutableSet
from dataclasses import dataclass

from yarl import URL

from goodwatt.engines.profile import Profile
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.source import DEFAULT_METRICS_PATH, EngineSource

# vLLM and most others, SGLang, llama-server, LMDeploy, TGI, Triton, MAX. Not those of proxies, which are read only if
# the configuration names them.
WELL_KNOWN_PORTS = (8000, 30000, 8080, 23333, 3000, 8002, 8001)


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server whose page a profile recognised. `name` is like vllm-8000; `url` includes the metrics path."""

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
    """Return the servers on 127.0.0.1 whose page a profile recognises, in the order of the ports.

    Takes about `timeout_seconds` and raises nothing for a port that is silent, closed or another program. Each port is
    probed on the paths of the profiles that use it, concurrently. /metrics is probed last, and only if no other path
    answered, because TensorRT-LLM's /metrics drains a queue that another reader needs. URLs in `not_again` are skipped;
    URLs that answered with something other than metrics, and other paths than /metrics that answered with an error, are
    added to it.
    """
    asked = [port for port in dict.fromkeys(ports) if port not in exclude_ports]
    foreign = set() if not_again is None else not_again
    found = await asyncio.gather(*(_probe_port(profiles, port, timeout_seconds, foreign) for port in asked))
    return tuple(server for server in found if server is not None)


def _paths(profiles: Mapping[str, Profile], port: int) -> frozenset[str]:
    """Return the metrics paths of the profiles that use the port, or of all profiles if none does."""
    usual = frozenset(profile.path for profile in profiles.values() if port in profile.ports)
    return usual or frozenset(profile.path for profile in profiles.values())


async def _probe_port(
    profiles: Mapping[str, Profile], port: int, seconds: float, foreign: MutableSet[str]
) -> FoundServer | None:
    """Give half of the time to paths that only serve metrics, and the rest to /metrics."""
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
