import time

from goodwatt.runtime.discovery.probe import WELL_KNOWN_PORTS, FoundServer, find_servers
from tests.engines.golden import HERE, PROFILES
from tests.fakes.http_server import Reply, page, serving, unused_port
from tests.sources.engine.test_source import LLAMA, MODELS, VLLM


async def test_finds_known_engines() -> None:
    """Servers of known engines are found on the given ports, in their order, named by engine and port."""
    async with serving(page(VLLM)) as vllm, serving({"/metrics": page(LLAMA), "/v1/models": MODELS}) as llama:
        found = await find_servers(PROFILES, (llama.port, vllm.port, llama.port))
    assert found == (
        FoundServer(f"llamacpp-{llama.port}", f"{llama.url}/metrics", "llamacpp", llama.port),
        FoundServer(f"vllm-{vllm.port}", f"{vllm.url}/metrics", "vllm", vllm.port),
    )


async def test_skips_everything_else() -> None:
    """Closed ports, other programs, and failing or hanging servers are skipped without delay."""
    replies = (page("node_load1 1\n"), Reply(b"<html>"), Reply(status=404), Reply(status=500), Reply(hang=True))
    began = time.monotonic()
    for reply in replies:
        async with serving(reply) as server, serving(page(VLLM)) as vllm:
            found = await find_servers(PROFILES, (server.port, unused_port(), vllm.port), timeout_seconds=0.3)
            assert [one.name for one in found] == [f"vllm-{vllm.port}"]
    assert time.monotonic() - began < 5


async def test_excluded_ports() -> None:
    """An excluded port, such as goodwatt's own, is not probed."""
    async with serving(page(VLLM)) as vllm:
        assert await find_servers(PROFILES, (vllm.port,), exclude_ports=(vllm.port,)) == ()
        assert not vllm.requests


async def test_a_page_without_metrics_is_requested_once() -> None:
    """A JSON page may be a queue that reading drains, so it is not requested again; others are."""
    seen: set[str] = set()
    async with serving(Reply(b"[]", content_type="application/json")) as drained, serving(Reply(status=404)) as other:
        for _ in range(3):
            assert await find_servers(PROFILES, (drained.port, other.port), not_again=seen) == ()
        asked = [[request.path for request in one.requests].count("/metrics") for one in (drained, other)]
        assert f"{drained.url}/metrics" in seen
        assert f"{other.url}/metrics" not in seen
        assert asked == [1, 3]


async def test_an_engine_specific_path_is_requested_first() -> None:
    """If an engine answers on its own metrics path, /metrics, which may be a queue, is not requested."""
    trtllm = (HERE / "trtllm/2026/generated.prom").read_text()
    async with serving({"/prometheus/metrics": page(trtllm), "/metrics": Reply(b"[]")}) as server:
        found = await find_servers(PROFILES, (server.port,))
        assert found == (
            FoundServer(f"trtllm-{server.port}", f"{server.url}/prometheus/metrics", "trtllm", server.port),
        )
        assert "/metrics" not in {request.path for request in server.requests}


async def test_nim_is_found_at_its_path() -> None:
    """A NIM's page is found at /v1/metrics."""
    async with serving({"/v1/metrics": page(VLLM), "/metrics": Reply(status=404)}) as server:
        (found,) = await find_servers(PROFILES, (server.port,))
    assert found == FoundServer(f"vllm-{server.port}", f"{server.url}/v1/metrics", "vllm", server.port)


async def test_paths_that_fail_are_requested_once() -> None:
    """Only /metrics is requested again, so as not to fill an engine's access log with 404s."""
    seen: set[str] = set()
    async with serving({"/metrics": Reply(status=503)}) as server:
        for _ in range(3):
            assert await find_servers(PROFILES, (server.port,), not_again=seen) == ()
        assert [request.path for request in server.requests].count("/metrics") == 3
        assert len(server.requests) == 5


async def test_proxies_are_not_found() -> None:
    """A proxy in front of engines would count everything twice, so it is never discovered."""
    async with serving(page((HERE / "litellm/1.109.1/generated.prom").read_text())) as server:
        assert await find_servers(PROFILES, (server.port,)) == ()


def test_well_known_ports_cover_every_profile() -> None:
    """The default port of every engine is probed, a proxy's is not, and a round opens few connections."""
    engines = [profile for profile in PROFILES.values() if profile.named_only is None]
    assert {port for profile in engines for port in profile.ports} == set(WELL_KNOWN_PORTS)
    assert sum(len({one.path for one in engines if port in one.ports}) for port in WELL_KNOWN_PORTS) <= 10
