"""Which sources the sampler reads as configuration and target files change."""

import asyncio
import logging
from pathlib import Path

import aiohttp
import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import Plan, make_plan
from goodwatt.model.engine import Signal
from goodwatt.model.ledger import Account, CountKey
from goodwatt.model.request import Dropped
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import OTLP_SOURCE, Reason
from goodwatt.runtime.discovery.local_ports import LocalPorts
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import SourceSet
from goodwatt.sources.open import SourceContext
from goodwatt.sources.otlp.source import OtlpSource
from tests.fakes.fake_driver import FakeDriver, FakeGpu
from tests.fakes.http_server import FakeServer, page, serving, unused_port
from tests.fakes.openai_server import STREAM_HEAD, Talk, chat_events, chunk, event, openai_server, streams
from tests.fakes.otlp import PATH, PROTOBUF, in_protobuf, vllm_row
from tests.sources.proxy.proxies import ask, calling, post

NO_GPUS = "gpus: {kind: none}\n"


def toy(tokens: int, name: str = "vllm") -> str:
    return f'{name}:generation_tokens_total{{model_name="m"}} {tokens}\n'


def planned(text: str) -> Plan:
    return make_plan(parse(text))


class Running:
    """A source set over a sampler that ticks on demand."""

    def __init__(self, text: str, context: SourceContext | None = None) -> None:
        plan = planned(text)
        self.sampler = Sampler((), plan.policy, lambda _: None)
        self.source_set = SourceSet(
            self.sampler,
            plan,
            context or SourceContext(),
            LocalPorts(ports=(unused_port(),)),
        )
        self.applied = 0

    async def tick(self) -> Snapshot:
        await self.source_set.refresh()
        return await self.sampler.tick()

    async def reload(self, text: str) -> Snapshot:
        await self.source_set.apply_config(planned(text), self._count)
        return await self.sampler.tick()

    def _count(self) -> None:
        self.applied += 1

    async def aclose(self) -> None:
        await self.source_set.aclose()
        await self.sampler.aclose()


def counted(snapshot: Snapshot, server: str = "a") -> float:
    return snapshot.ledger.counts[CountKey(Account(server, "m"), Signal.GENERATED_TOKENS)]


def config(*servers: tuple[str, FakeServer], more: str = "") -> str:
    listed = ", ".join(f"{{name: {name}, url: '{server.url}'}}" for name, server in servers)
    return f"{NO_GPUS}servers: [{listed}]\n{more}"


async def test_an_unchanged_server_keeps_its_connection() -> None:
    """A reload that does not change a server's section neither reconnects nor loses a token."""
    async with serving(page(toy(100))) as a, serving(page(toy(0))) as b:
        running = Running(config(("a", a)))
        await running.tick()
        source = running.sampler.sources[0]
        a.routes["/metrics"] = page(toy(150))
        snapshot = await running.reload(config(("b", b), ("a", a), more="window_seconds: 120\nslos: []\n"))
        assert counted(snapshot) == 50 and source in running.sampler.sources
        assert (a.connections, running.applied, snapshot.policy.window_seconds) == (1, 1, 120.0)
        await running.aclose()


async def test_a_new_address_resets_the_baseline_and_a_new_timeout_does_not() -> None:
    """Only a name that may now be another server loses its baseline."""
    async with serving(page(toy(100))) as a, serving(page(toy(9_000))) as b:
        running = Running(config(("a", a)))
        await running.tick()
        a.routes["/metrics"] = page(toy(101))
        other = f"{NO_GPUS}servers: [{{name: a, url: '{a.url}', timeout_seconds: 1}}]"
        assert counted(await running.reload(other)) == 1
        assert a.connections == 2
        assert counted(await running.reload(config(("a", b)))) == 1
        b.routes["/metrics"] = page(toy(9_010))
        assert counted(await running.tick()) == 11
        await running.aclose()


async def test_a_custom_profile_applies_after_a_reload() -> None:
    """A server with an unknown engine is read once a reload adds a profile for it."""
    profile = (
        "profiles: [{name: toy, title: Toy, ports: [], detect: {any_of: ['toy:*']}, labels: {model: [model_name]}, "
        "traits: {tokens_move: step, one_token_tpot: zero}, "
        "signals: {generated_tokens: [{sum: [{metric: 'toy:generation_tokens_total'}]}]}}]\n"
    )
    async with serving(page(toy(100, "toy"))) as a:
        running = Running(config(("a", a)))
        assert (await running.tick()).servers == {}
        snapshot = await running.reload(config(("a", a), more=profile))
        assert snapshot.servers["a"].engine == "toy"
        await running.aclose()


async def test_gpus_are_opened_once_and_closed_by_kind_none() -> None:
    """`auto` and `nvml` share one open driver; `none` closes it."""
    driver = FakeDriver(FakeGpu("GPU-0"))
    running = Running("servers: []\n", SourceContext(driver=driver))
    assert (await running.tick()).gpus is not None
    await running.reload("servers: []\ngpus: {kind: nvml}\n")
    assert driver.calls["open"] == 1
    assert (await running.reload(f"servers: []\n{NO_GPUS}")).gpus is None
    assert driver.opened == 0
    assert (await running.reload("servers: []\n")).gpus is not None
    await running.aclose()


async def test_servers_from_files_have_the_gpus_of_their_labels(tmp_path: Path) -> None:
    """The policy follows the files: which server claims which GPU."""
    (tmp_path / "s.yaml").write_text("- {targets: ['127.0.0.1:1'], labels: {goodwatt_name: a, goodwatt_gpus: '1'}}")
    running = Running(f"{NO_GPUS}server_discovery: [{{files: ['{tmp_path}/s.yaml']}}]\n")
    snapshot = await running.tick()
    assert [state.source.label for state in snapshot.sources] == ["server/a"]
    assert snapshot.policy.server_gpus == {"a": (1,)}
    sources = running.sampler.sources
    await running.tick()
    assert running.sampler.sources == sources
    (tmp_path / "s.yaml").write_text("- {targets: ['127.0.0.1:1'], labels: {goodwatt_name: a, goodwatt_gpus: '0,1'}}")
    assert (await running.tick()).policy.server_gpus == {"a": (0, 1)}
    await running.aclose()


async def test_refused_servers_are_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line for each cause names the servers beyond 64 and those whose name is taken; it is not repeated."""
    listed = ", ".join(f"'10.0.0.1:{n}'" for n in range(1, 91))
    (tmp_path / "s.yaml").write_text(f"- targets: [{listed}]\n- {{targets: ['x:1'], labels: {{goodwatt_name: a}}}}\n")
    text = f"{NO_GPUS}servers: [{{name: a, url: 'http://y:1'}}]\nserver_discovery: [{{files: ['{tmp_path}/s.yaml']}}]"
    running = Running(text)
    with caplog.at_level(logging.ERROR, "goodwatt.runtime.source_set"):
        for _ in range(3):
            await running.source_set.refresh()
        await running.source_set.apply_config(planned(text), lambda: None)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[1] == f"{tmp_path}/s.yaml: not read: a: another server has this name"
    assert lines[0].startswith(f"{tmp_path}/s.yaml: not read: 10.0.0.1-64, ")
    assert lines[0].endswith(" and 7 more: one process reads at most 64 servers; run another for the rest")
    assert len(lines) == 2
    await running.aclose()


async def test_local_ports_are_tried_only_while_nothing_names_a_server(caplog: pytest.LogCaptureFixture) -> None:
    """Configuring servers stops the discovery, and removing them starts it again."""
    running = Running(NO_GPUS)
    said = "no inference server answers"
    await running.tick()
    await running.tick()
    assert sum(said in r.getMessage() for r in caplog.records) == 1
    await running.reload(f"{NO_GPUS}servers: [{{name: a, url: 'http://127.0.0.1:{unused_port()}'}}]")
    await running.reload(NO_GPUS)
    assert sum(said in r.getMessage() for r in caplog.records) == 2
    await running.reload(f"{NO_GPUS}interval_seconds: 6")
    assert sum(said in r.getMessage() for r in caplog.records) == 2
    await running.aclose()


async def test_a_server_found_on_a_port_is_kept() -> None:
    """A discovered server is kept while it is down; ports are probed every 30 seconds."""
    async with serving(page(toy(1))) as fake:
        local = LocalPorts(own_port=0, ports=(fake.port,))
        plan = planned("")
        profiles = plan.profiles
        assert await local.refresh(profiles, 1000.0)
        assert not await local.refresh(profiles, 1010.0)
        fake.routes.clear()
        assert not await local.refresh(profiles, 1030.0)
        assert [candidate.section.name for candidate in local.candidates(plan)] == [f"vllm-{fake.port}"]
        assert not await local.refresh(profiles, 1700.0)  # what answered as something else is asked again
        local.forget()
        assert local.candidates(plan) == []


async def test_another_engine_on_a_known_port_is_not_a_second_server() -> None:
    """If another engine takes over a port, the server found there is kept, and no page is read twice."""
    async with serving(page(toy(1))) as server:
        plan = planned(NO_GPUS)
        sampler = Sampler((), plan.policy, lambda _: None)
        local = LocalPorts(ports=(server.port, unused_port()))
        source_set = SourceSet(sampler, plan, SourceContext(), local)
        await source_set.refresh()
        name = f"vllm-{server.port}"
        assert [state.source.label for state in (await sampler.tick()).sources] == [f"server/{name}"]
        server.routes["/metrics"] = page("llamacpp:tokens_predicted_total 5\n")
        assert not await local.refresh(plan.profiles, 1e9)
        await source_set.refresh()
        snapshot = await sampler.tick()
        await source_set.aclose()
        await sampler.aclose()
    assert [(name, page.engine) for name, page in snapshot.servers.items()] == [(name, "llamacpp")]


async def test_the_otlp_receiver_is_kept_while_its_section_is_unchanged() -> None:
    """An unchanged `otlp` keeps its queue, a changed one is a new receiver, and without it no port is open."""
    async with serving(page(toy(100))) as a:
        running = Running(config(("a", a), more="otlp: {listen: '127.0.0.1:0'}\n"))
        assert {state.source.label for state in (await running.tick()).sources} == {"otlp", "server/a"}
        receiver = otlp_of(running)
        assert await sent(receiver, 3) == 200
        snapshot = await running.reload(config(("a", a), more="otlp: {listen: '127.0.0.1:0'}\nslos: []\n"))
        assert otlp_of(running) is receiver
        assert recorded(snapshot) == 3
        await running.reload(config(("a", a), more="otlp: {listen: '127.0.0.1:0', queue_requests: 7}\n"))
        assert receiver.port is None and otlp_of(running).port is not None
        last = otlp_of(running)
        snapshot = await running.reload(config(("a", a)))
        assert {state.source.label for state in snapshot.sources} == {"server/a"}
        assert last.port is None
        await running.aclose()


async def test_spans_are_assigned_to_the_servers_read_now() -> None:
    """A server that a reload adds gets the spans with its name from then on."""
    async with serving(page(toy(100))) as a, serving(page(toy(100))) as b:
        otlp = "otlp: {listen: '127.0.0.1:0'}\n"
        running = Running(config(("a", a), ("b", b), more=otlp))
        await running.tick()
        await sent(otlp_of(running), 1, "c")
        snapshot = await running.tick()
        (state,) = [state for state in snapshot.sources if state.source == OTLP_SOURCE]
        assert state.dropped == {Dropped.UNKNOWN_SERVER: 1}
        await running.reload(config(("a", a), ("c", b), more=otlp))
        await sent(otlp_of(running), 2, "c")
        snapshot = await running.tick()
        assert recorded(snapshot, "c") == 2
        await running.aclose()


def otlp_of(running: Running) -> OtlpSource:
    (found,) = [source for source in running.sampler.sources if isinstance(source, OtlpSource)]
    return found


async def sent(receiver: OtlpSource, spans: int, service: str = "a") -> int:
    """The status of a request with so many new spans."""
    body = in_protobuf([vllm_row(spans * 1000 + n, service=service) for n in range(spans)])
    url = f"http://127.0.0.1:{receiver.port}{PATH}"
    async with aiohttp.ClientSession() as client, client.post(url, data=body, headers=PROTOBUF) as answer:
        return answer.status


def recorded(snapshot: Snapshot, server: str = "a") -> int:
    return sum(count for (account, *_), count in snapshot.ledger.records.items() if account.server == server)


def fronted(listen: int, upstream: str, server: str = "", more: str = "", keys: str = "") -> str:
    proxy = f"proxy: {{listen: '127.0.0.1:{listen}', upstream: '{upstream}'{keys}}}"
    return f"{NO_GPUS}servers: [{{name: a, {server}{proxy}}}]\n{more}"


async def test_an_unchanged_proxy_keeps_its_clients_through_a_reload() -> None:
    """A new interval, price or SLO interrupts no stream; a server's page and its proxy are two sources."""
    port, go_on = unused_port(), asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.send(STREAM_HEAD, chunk(chat_events(1)[1]))
        await go_on.wait()
        await talk.send(chunk(event(b"[DONE]")), b"0\r\n\r\n")

    async with openai_server(script) as server, serving(page(toy(100))) as metrics:
        running = Running(fronted(port, server.url, f"url: '{metrics.url}', "))
        snapshot = await running.tick()
        assert [state.source.label for state in snapshot.sources] == ["server/a", "proxy/a"]
        async with calling(port) as client:
            await client.send(post())
            await client.until(b"t0")
            before = running.sampler.sources
            text = fronted(port, server.url, f"url: '{metrics.url}', timeout_seconds: 1, ", "window_seconds: 120")
            await running.reload(text)
            assert running.sampler.sources[1] is before[1] and running.sampler.sources[0] is not before[0]
            go_on.set()
            await client.whole()
        await records_of(running, 1)
        await running.aclose()


async def records_of(running: Running, requests: int) -> Snapshot:
    """The snapshot on which so many requests are counted."""
    while True:
        snapshot = await running.tick()
        if sum(snapshot.ledger.records.values()) >= requests:
            return snapshot
        await asyncio.sleep(0.01)


async def test_a_changed_proxy_reopens_on_the_same_port() -> None:
    """A new limit applies from the next request on, on the same port, and no token is counted twice."""
    port = unused_port()
    async with openai_server(streams(3, (9, 4, 3))) as server:
        running = Running(fronted(port, server.url))
        await running.tick()
        await ask(port, post())
        snapshot = await records_of(running, 1)
        assert counted(snapshot) == 3 and snapshot.servers["a"].engine == "proxy"
        await running.reload(fronted(port, server.url, keys=", max_body_bytes: 1024"))
        assert (await ask(port, post(bytes(2000))))[0].startswith(b"HTTP/1.1 413 ")
        await ask(port, post())
        snapshot = await records_of(running, 2)
        assert counted(snapshot) == 6
        assert all(state.up for state in snapshot.sources)
        snapshot = await running.reload(f"{NO_GPUS}servers: []\n")
        with pytest.raises(ConnectionRefusedError):
            await ask(port, post())
        await running.aclose()


async def test_a_proxy_whose_port_is_taken_is_down() -> None:
    """Other sources are still read, and the proxy listens as soon as the port is free."""
    async with openai_server() as server, serving(page(toy(100))) as metrics:
        taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = taken.sockets[0].getsockname()[1]
        running = Running(fronted(port, server.url, f"url: '{metrics.url}', "))
        states = {state.source.label: state for state in (await running.tick()).sources}
        assert states["server/a"].up and states["proxy/a"].reason is Reason.CANNOT_LISTEN
        taken.close()
        await taken.wait_closed()
        states = {state.source.label: state for state in (await running.tick()).sources}
        assert states["proxy/a"].up
        await running.aclose()
