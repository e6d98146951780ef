"""Inference servers on this machine, found by asking the ports where they usually listen."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from exporter.engines.profile import Profile
from exporter.model.source import SourceUnavailable
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


async def find_servers(
    profiles: Mapping[str, Profile],
    ports: Iterable[int] = USUAL_PORTS,
    *,
    exclude_ports: Collection[int] = (),
    timeout_seconds: float = 1.0,
) -> tuple[Found, ...]:
    """Who answers on 127.0.0.1, in the order of the ports. Only a page that a profile recognises counts.

    Ends within `timeout_seconds` and raises nothing for a port that is silent, closed or something else.
    """
    asked = [port for port in dict.fromkeys(ports) if port not in exclude_ports]
    paths = tuple(dict.fromkeys(profile.path for profile in profiles.values()))
    found = await asyncio.gather(*(_ask(profiles, port, paths, timeout_seconds) for port in asked))
    return tuple(server for server in found if server is not None)


async def _ask(profiles: Mapping[str, Profile], port: int, paths: tuple[str, ...], seconds: float) -> Found | None:
    answers = await asyncio.gather(*(_recognise(profiles, f"http://127.0.0.1:{port}{path}", seconds) for path in paths))
    return next(
        (Found(f"{engine}-{port}", url, engine) for engine, url in answers if engine is not None),
        None,
    )


async def _recognise(profiles: Mapping[str, Profile], url: str, seconds: float) -> tuple[str | None, str]:
    source = EngineSource(ServerSection(name="discovery", url=url, timeout_seconds=seconds), profiles)
    try:
        return (await source.read()).engine, url
    except SourceUnavailable:
        return None, url
    finally:
        await source.aclose()
