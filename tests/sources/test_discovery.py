import time

from exporter.sources.discovery import USUAL_PORTS, Found, find_servers
from tests.engines.golden import PROFILES
from tests.fakes.http_server import Reply, page, serving, unused_port
from tests.sources.test_engine_http import LLAMA, MODELS, VLLM


async def test_finds_known_engines() -> None:
    """Servers that answer as a known engine are found on the given ports, in their order, named by engine and port."""
    async with serving(page(VLLM)) as vllm, serving({"/metrics": page(LLAMA), "/v1/models": MODELS}) as llama:
        found = await find_servers(PROFILES, (llama.port, vllm.port, llama.port))
    assert found == (
        Found(f"llamacpp-{llama.port}", f"{llama.url}/metrics", "llamacpp", llama.port),
        Found(f"vllm-{vllm.port}", f"{vllm.url}/metrics", "vllm", vllm.port),
    )


async def test_passes_over_the_rest() -> None:
    """Closed ports, other programs, and servers that fail or hang are no inference servers, and hold nothing up."""
    replies = (page("node_load1 1\n"), Reply(b"<html>"), Reply(status=404), Reply(status=500), Reply(hang=True))
    began = time.monotonic()
    for reply in replies:
        async with serving(reply) as server, serving(page(VLLM)) as vllm:
            found = await find_servers(PROFILES, (server.port, unused_port(), vllm.port), timeout_seconds=0.3)
            assert [one.name for one in found] == [f"vllm-{vllm.port}"]
    assert time.monotonic() - began < 5


async def test_excluded_ports() -> None:
    """A port that is excluded, such as goodwatt's own, is not even asked."""
    async with serving(page(VLLM)) as vllm:
        assert await find_servers(PROFILES, (vllm.port,), exclude_ports=(vllm.port,)) == ()
        assert not vllm.requests


async def test_what_is_no_metrics_page_is_asked_once() -> None:
    """An address that answers JSON may be a queue that empties when read: it is not asked again. Others are."""
    seen: set[str] = set()
    async with serving(Reply(b"[]", content_type="application/json")) as drained, serving(Reply(status=404)) as other:
        for _ in range(3):
            assert await find_servers(PROFILES, (drained.port, other.port), not_again=seen) == ()
        assert seen == {f"{drained.url}/metrics"}
        assert (len(drained.requests), len(other.requests)) == (1, 3)


def test_usual_ports_hold_every_profile() -> None:
    """Every port that a profile calls usual is looked at."""
    assert {port for profile in PROFILES.values() for port in profile.ports} <= set(USUAL_PORTS)
