"""The goodwatt command as a proxy in front of a fake inference server: what it publishes, and how it leaves."""

import asyncio
import json
from pathlib import Path

from tests.end_to_end.programs import Goodwatt, Page, free_port, goodwatt, in_thread
from tests.fakes import nvml_stub
from tests.fakes.http_server import page, serving
from tests.fakes.openai_server import STREAM_HEAD, OpenAiServer, Talk, chat_events, chunk, openai_server
from tests.sources.proxy.proxies import ask, calling, post

CONFIG = """
interval_seconds: 0.3
window_seconds: 5
servers:
- name: a
  {server}
  proxy: {{listen: '127.0.0.1:{port}', upstream: '{upstream}'}}
slos:
- {{name: s, ttft_seconds: 0.8, tpot_seconds: 0.15}}
"""


async def paced(talk: Talk) -> None:
    """As the request's body asks: wait so long for the first token, then so long for each of the others."""
    assert talk.received is not None
    asked = json.loads(talk.received.body)
    role, *tokens = chat_events(asked["tokens"], usage=(10, 4, asked["tokens"]))
    await talk.send(STREAM_HEAD, chunk(role))
    await asyncio.sleep(asked["first"])
    for number, one in enumerate(tokens):
        await talk.send(chunk(one))
        await asyncio.sleep(asked["gap"] if number + 1 < asked["tokens"] else 0)
    await talk.send(b"0\r\n\r\n")


async def chat(port: int, first: float, gap: float, tokens: int) -> None:
    body = {"model": "m", "stream": True, "first": first, "gap": gap, "tokens": tokens}
    await ask(port, post(json.dumps(body).encode()))


async def until(running: Goodwatt, requests: int) -> Page:
    """The page once so many records count."""
    for _ in range(100):
        seen = await in_thread(running.page)
        if (seen.sum("goodwatt_request_records_total") or 0) >= requests:
            return seen
        await asyncio.sleep(0.1)
    raise AssertionError(f"never {requests} records: {running.logged()}")


LOAD = ((0.0, 0.0, 5), (1.6, 0.0, 5), (0.0, 0.4, 5), (1.6, 0.4, 3), (0.0, 0.4, 1))
GOOD = 2  # the first, and the last, which has no time per token


async def test_a_server_without_metrics_behind_the_proxy(tmp_path: Path) -> None:
    """Its tokens, energy and exact goodput are published from what passed through, and every joule has a place."""
    stub = nvml_stub.stub_of(tmp_path)
    environment = stub.environ(nvml_stub.build(tmp_path), {})
    port = free_port()
    async with openai_server(paced) as server:
        config = CONFIG.format(port=port, upstream=server.url, server="gpus: all")
        with goodwatt(tmp_path, "run", config=config, environment=environment) as running:
            await asyncio.gather(*(chat(port, *one) for one in LOAD))
            await until(running, len(LOAD))
            await chat(port, 1.0, 0.3, 10)
            seen = await until(running, len(LOAD) + 1)
            account = {"server": "a", "model": "m"}
            assert seen.sum("goodwatt_generated_tokens_total", **account) == 5 + 5 + 5 + 3 + 1 + 10
            assert seen.sum("goodwatt_prompt_tokens_total", **account) == 60
            assert seen.sum("goodwatt_cached_prompt_tokens_total", **account) == 24
            assert seen.sum("goodwatt_requests_total", **account, outcome="success") == 6
            assert seen.sum("goodwatt_server_info", server="a", engine="proxy") == 1
            assert seen.sum("goodwatt_server_up", server="a") == 1
            _exact(seen, 6, GOOD)
            given = seen.sum("goodwatt_energy_joules_total", **account)
            rest = seen.sum("goodwatt_gpu_unattributed_energy_joules_total")
            whole = seen.sum("goodwatt_gpu_energy_joules_total")
            assert given is not None and given > 0
            assert rest is not None and whole is not None and abs(given + rest - whole) < 1e-3
            assert "running" not in running.logged()


def _exact(seen: Page, requests: int, good: int) -> None:
    exact = {"server": "a", "model": "m", "slo": "s", "method": "exact"}
    assert seen.sum("goodwatt_slo_requests_total", **exact) == requests
    assert seen.sum("goodwatt_slo_good_requests_total", **exact, bound="exact") == good


async def test_beside_a_page_tokens_are_the_pages_and_latencies_the_proxys(tmp_path: Path) -> None:
    """They are counted once, for one account, and each of the two is a source of its own."""
    port = free_port()

    def metrics(tokens: int) -> str:
        return f'vllm:generation_tokens_total{{model_name="m"}} {tokens}\n'

    async with openai_server(paced) as server, serving(page(metrics(1000))) as engine:
        config = CONFIG.format(port=port, upstream=server.url, server=f"url: {engine.url}")
        with goodwatt(tmp_path, "run", config=config + "gpus: {kind: none}\n") as running:
            await asyncio.gather(*(chat(port, *one) for one in LOAD))
            engine.routes["/metrics"] = page(metrics(1007))
            seen = await until(running, len(LOAD))
            for _ in range(50):
                if seen.sum("goodwatt_generated_tokens_total") == 7:
                    break
                await asyncio.sleep(0.1)
                seen = await in_thread(running.page)
            assert seen.sum("goodwatt_generated_tokens_total", server="a", model="m") == 7
            assert seen.sum("goodwatt_request_records_total", source="proxy/a", tokens="reported") == len(LOAD)
            assert {dict(key)["source"] for key in seen.all("goodwatt_source_up")} == {"server/a", "proxy/a"}
            _exact(seen, len(LOAD), GOOD)


async def test_it_leaves_at_once_with_open_streams(tmp_path: Path) -> None:
    """SIGTERM ends it within two seconds and with 0; clients see their streams break off, not end."""
    port = free_port()
    async with openai_server(_endless) as server:
        config = CONFIG.format(port=port, upstream=server.url, server="gpus: all")
        with goodwatt(tmp_path, "run", config=config + "gpus: {kind: none}\n") as running:
            async with calling(port) as one, calling(port) as other:
                for client in (one, other):
                    await client.send(post())
                    await client.until(b"t0")
                code, seconds = await in_thread(running.terminate)
                assert code == 0 and seconds < 2.0
                for client in (one, other):
                    assert not (await _rest(client.reader)).endswith(b"0\r\n\r\n")
            await _gone(server)


async def _endless(talk: Talk) -> None:
    await talk.send(STREAM_HEAD)
    while True:
        await talk.send(chunk(chat_events(1)[1]))
        await asyncio.sleep(0.05)


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def _gone(server: OpenAiServer) -> None:
    async with asyncio.timeout(5):
        while server.open:
            await asyncio.sleep(0.05)
