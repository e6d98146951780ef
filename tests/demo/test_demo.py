import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import slo_models
from goodwatt.demo.config_text import demo_config_text
from goodwatt.demo.defaults import BATCH, CHAT, DEFAULT_SERVERS, STRICT
from goodwatt.demo.demo import Demo
from goodwatt.engines import load_profiles
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.source import EngineSource
from goodwatt.sources.gpu.source import GpuSource
from tests.demo.builders import SECOND, HandClock, engine, load, spec


@asynccontextmanager
async def running(clock: HandClock, **changes: object) -> AsyncIterator[Demo]:
    demo = Demo(clock=clock, wall_clock=lambda: 1.7e9, **changes)  # type: ignore[arg-type]
    await demo.start()
    try:
        yield demo
    finally:
        await demo.aclose()


async def test_the_default_demo_has_two_servers_on_a_gpu_each() -> None:
    """Both servers answer on loopback, each with its model and one GPU, and the driver has no other GPU."""
    async with running(HandClock()) as demo:
        names = [(server.name, server.model) for server in demo.servers]
        assert names == [("chat", "meta-llama/Llama-3.1-8B-Instruct"), ("batch", "openai/gpt-oss-20b")]
        assert len({server.url for server in demo.servers}) == 2
        demo.driver.open()
        uuids = [demo.driver.uuid(demo.driver.handle(index)) for index in range(demo.driver.count())]
        assert [uuid for server in demo.servers for uuid in server.gpu_uuids] == uuids


async def test_the_demos_configuration_is_one_that_goodwatt_accepts() -> None:
    """The generated YAML passes goodwatt's own validation and has the running servers, GPUs, SLOs and prices."""
    async with running(HandClock()) as demo:
        config = parse(demo.config_text())
        sections = config.servers or ()
        assert [(one.name, tuple(one.gpus)) for one in sections] == [(s.name, s.gpu_uuids) for s in demo.servers]
        assert [str(one.url).rstrip("/") for one in sections] == [server.url for server in demo.servers]
        assert config.interval_seconds == 1
        assert [slo.name for slo in slo_models(config)] == ["comfortable", "strict"]
        assert slo_models(config)[1].thresholds == STRICT.thresholds
        assert config.cost is not None
        assert config.cost.price_per_gpu_hour == 1.69


def test_a_demo_of_nothing_still_has_a_configuration() -> None:
    """Without servers and SLOs the YAML has empty lists and is valid."""
    config = parse(demo_config_text([], []))
    assert (config.servers, slo_models(config)) == ((), ())


async def test_goodwatts_own_sources_read_the_truth() -> None:
    """Through the real HTTP source and the real GPU source: tokens equal the truth exactly, first tokens are
    counted, and the joules of each GPU are its server's, to the millijoule."""
    clock = HandClock()
    async with running(clock) as demo:
        gpus = GpuSource(demo.driver, clock)
        try:
            energy = {one.gpu.uuid: one.energy for one in (await gpus.read()).gpus}
        finally:
            await gpus.aclose()
        for server in demo.servers:
            read = await read_server(server.name, server.url, clock)
            read_now = demo.engine(server.name).read_now
            truth = read_now(lambda some: some.truth)
            tokens = {key.signal: count for key, count in read.counters.items()}
            assert tokens[Signal.GENERATED_TOKENS] == truth.generated_tokens > 10_000
            assert tokens[Signal.PROMPT_TOKENS] == truth.prompt_tokens
            ttft = histogram(read, Signal.TTFT)
            assert ttft.count == truth.succeeded + truth.disconnected + read_now(lambda some: some.decoding)
            counter = energy[server.gpu_uuids[0]]
            assert counter is not None
            assert counter.millijoules == read_now(lambda some: some.power.millijoules) > 0


async def read_server(name: str, url: str, clock: HandClock) -> EngineReading:
    source = EngineSource(ServerSection(name=name, url=url), load_profiles(), clock=clock, simulated=True)
    try:
        return await source.read()
    finally:
        await source.aclose()


def histogram(read: EngineReading, signal: Signal) -> Histogram:
    (found,) = [histogram for key, histogram in read.histograms.items() if key.signal is signal]
    return found


async def test_the_strict_objective_lies_inside_buckets_and_the_bounds_part() -> None:
    """For the strict objective the share that histograms prove and the share that they allow lie far apart, with the
    truth between them; which the demo is meant to show."""
    async with running(HandClock(), past_seconds=300.0) as demo:
        (server, *_) = demo.servers
        read = await read_server(server.name, server.url, HandClock())
        shares = [at(histogram(read, threshold.signal), threshold.seconds) for threshold in STRICT.thresholds]
        lower, upper = max(0.0, sum(low for low, _ in shares) - 1), min(high for _, high in shares)
        good = demo.engine(server.name).read_now(lambda some: some.truth.watched["strict"][1])
    assert lower + 0.1 < good.good / good.eligible < upper - 0.05


def at(histogram: Histogram, seconds: float) -> tuple[float, float]:
    """Return the shares at or below the bucket edges around a threshold."""
    below = [count for edge, count in zip(histogram.edges, histogram.counts, strict=True) if edge <= seconds]
    above = [count for edge, count in zip(histogram.edges, histogram.counts, strict=True) if edge >= seconds]
    return below[-1] / histogram.count, above[0] / histogram.count


def test_chat_is_healthy_and_batch_has_a_visible_problem() -> None:
    """Over ten minutes nearly every chat request meets the comfortable objective, and the batch server loses many of
    them at each of its peaks and recovers in between."""
    shares = {}
    for server in DEFAULT_SERVERS:
        demo_engine = Demo(servers=[server], past_seconds=0.0, clock=HandClock(0.0)).engine(server.name)
        demo_engine.read_now(lambda some: some.advance(600 * SECOND))
        good = demo_engine.read_now(lambda some: some.truth.watched["comfortable"][1])
        shares[server.name] = good.good / good.eligible
    assert shares["chat"] > 0.99
    assert 0.3 < shares["batch"] < 0.9
    batch = engine(BATCH)
    queue = []
    for second in range(900):
        batch.advance(second * SECOND)
        queue.append(batch.waiting)
    days = [queue[start : start + 180] for start in range(0, 900, 180)]
    assert all(max(day) > 10 for day in days)
    assert all(min(day) == 0 for day in days)


async def test_the_same_seed_shows_the_same_demo() -> None:
    """Two demos with the same seed have equal counts, and adding a server does not change the others' traffic."""

    def tokens(demo: Demo) -> int:
        return demo.engine("chat").read_now(lambda some: some.truth.generated_tokens)

    clock = HandClock()
    both, alone, other = (
        Demo(clock=clock),
        Demo(servers=[CHAT], clock=clock),
        Demo(servers=[CHAT], clock=clock, seed=2),
    )
    assert tokens(both) == tokens(alone) != tokens(other)


async def test_a_server_on_several_gpus_names_them_all() -> None:
    """GPUs are numbered across servers, and those of one server draw the same power."""
    servers = [spec(load(), name="one", gpus=2), spec(load(), name="two")]
    async with running(HandClock(), servers=servers) as demo:
        assert [len(server.gpu_uuids) for server in demo.servers] == [2, 1]
        demo.driver.open()
        first, second = demo.driver.handle(0), demo.driver.handle(1)
        assert demo.driver.energy_millijoules(first) == demo.driver.energy_millijoules(second)


def test_two_servers_of_one_name_are_refused() -> None:
    """Two servers with the same name raise ValueError."""
    with pytest.raises(ValueError, match="same name"):
        Demo(servers=[CHAT, CHAT])


async def test_a_demo_that_cannot_start_leaves_nothing_open() -> None:
    """aclose may be called before the start, and more than once."""
    demo = Demo(clock=HandClock())
    await demo.aclose()
    await demo.start()
    await demo.aclose()
    await demo.aclose()
    for server in demo.servers:
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_faults_are_reached_by_name() -> None:
    """`faults` and `engine` raise KeyError for an unknown server."""
    async with running(HandClock()) as demo:
        demo.faults("batch").restart()
        assert demo.engine("batch").read_now(lambda some: some.counters.generated_tokens) == 0
        assert demo.engine("chat").read_now(lambda some: some.counters.generated_tokens) > 0
        with pytest.raises(KeyError):
            demo.faults("other")


def test_the_driver_may_be_read_while_pages_are_read() -> None:
    """Reading from several threads loses no counts: the engine ends in the same state as with a single reader."""
    clock = HandClock()
    shared, single = (Demo(servers=[CHAT], clock=clock, past_seconds=0.0).engine("chat") for _ in range(2))

    def look_often() -> None:
        for _ in range(300):
            clock.forward(0.01)
            shared.read_now(lambda some: some.power.mean_milliwatts())

    threads = [threading.Thread(target=look_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared.read_now(lambda some: (some.truth.generated_tokens, some.power.picojoules)) == single.read_now(
        lambda some: (some.truth.generated_tokens, some.power.picojoules)
    )
