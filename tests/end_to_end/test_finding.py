"""Servers that nobody named: found on local ports, each counted once."""

from exporter.app import Finder
from exporter.config import Config
from exporter.model.rules import Rules
from exporter.sources import World
from exporter.sources.sampler import Sampler
from tests.engines.golden import PROFILES
from tests.fakes.http_server import page, serving, unused_port
from tests.sources.test_engine_http import LLAMA, VLLM


async def test_another_engine_on_a_known_port_is_not_a_second_server() -> None:
    """Where an engine gives its port to another one, the server that was found there goes on; none is read twice."""
    async with serving(page(VLLM)) as server:
        sampler = Sampler([], Rules(), lambda _: None)
        finder = Finder(sampler, World(PROFILES), Config(), own_port=0, ports=(server.port, unused_port()))
        await finder.look()
        assert [state.source for state in (await sampler.tick()).sources] == [f"server/vllm-{server.port}"]
        server.routes["/metrics"] = page(LLAMA)
        await finder.look()
        snapshot = await sampler.tick()
        await sampler.aclose()
    assert [(name, reading.engine) for name, reading in snapshot.servers.items()] == [
        (f"vllm-{server.port}", "llamacpp")
    ]
