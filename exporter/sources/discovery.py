"""Inference servers on this machine, found by asking the ports where they usually listen."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, MutableSet
from dataclasses import dataclass

from exporter.engines.profile import Profile
from exporter.model.source import Reason, SourceUnavailable
from exporter.sources.engine_http import EngineSource
from exporter.sources.sections import ServerSection

# vLLM and most others, SGLang, llama-server, LMDeploy, TGI, Triton
USUAL_PORTS = (8000, 30000, 8080, 23333, 3000, 8002)


@dataclass(frozen=True, slots=True)
class Found:
    """A server that answers as a known engine. `name` is like vllm-8000, `url` has its metrics path."""

    name: str
    url: str
    engine: str
    port: int


async def find_servers(
    profiles: Mapping[str, Profile],
    ports: Iterable[int] = USUAL_PORTS,
    *,
    exclude_ports: Collection[int] = (),
    not_again: MutableSet[str] | None = None,
    timeout_seconds: float = 1.0,
) -> tuple[Found, ...]:
    """Who answers on 127.0.0.1, in the order of the ports. Only a page that a profile recognises counts.

    Ends within `timeout_seconds` and raises nothing for a port that is silent, closed or something else. Addresses in
    `not_again` are not asked; those that answered something that is no metrics page are added to it: some, as
    TensorRT-LLM's /metrics, hand out a queue that another reader wants.
    """
    asked = [port for port in dict.fromkeys(ports) if port not in exclude_ports]
    foreign = set() if not_again is None else not_again
    paths = tuple(dict.fromkeys(profile.path for profile in profiles.values()))
    found = await asyncio.gather(
        *(_ask(profiles, port, _urls(port, paths, foreign), timeout_seconds, foreign) for port in asked)
    )
    return tuple(server for server in found if server is not None)


def _urls(port: int, paths: Iterable[str], foreign: Collection[str]) -> list[str]:
    urls = (f"http://127.0.0.1:{port}{path}" for path in paths)
    return [url for url in urls if url not in foreign]


async def _ask(
    profiles: Mapping[str, Profile], port: int, urls: Iterable[str], seconds: float, foreign: MutableSet[str]
) -> Found | None:
    answers = await asyncio.gather(*(_recognise(profiles, url, seconds, foreign) for url in urls))
    return next(
        (Found(f"{engine}-{port}", url, engine, port) for engine, url in answers if engine is not None),
        None,
    )


async def _recognise(
    profiles: Mapping[str, Profile], url: str, seconds: float, foreign: MutableSet[str]
) -> tuple[str | None, str]:
    source = EngineSource(ServerSection(name="discovery", url=url, timeout_seconds=seconds), profiles)
    try:
        return (await source.read()).engine, url
    except SourceUnavailable as why:
        if why.reason is Reason.NOT_METRICS:
            foreign.add(url)
        return None, url
    finally:
        await source.aclose()
