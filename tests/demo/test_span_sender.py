"""The simulated servers' spans through the real receiver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from goodwatt.config.load import parse
from goodwatt.demo.defaults import DEFAULT_SLOS
from goodwatt.demo.demo import Demo
from goodwatt.demo.span_sender import SpanSender, free_port
from goodwatt.demo.truth import GoodCount
from goodwatt.derive.slo.judge import count_records, zero_totals
from goodwatt.engines import load_profiles
from goodwatt.settings.sources import OtlpSection
from goodwatt.sources.otlp.source import OtlpSource
from tests.demo.builders import HandClock

NAMES = "chat", "batch"


class Sending:
    """A demo on a manual clock, its span sender and a receiver."""

    def __init__(self, clock: HandClock, demo: Demo, port: int, client: aiohttp.ClientSession) -> None:
        self.clock, self.demo, self.client = clock, demo, client
        self.sender = SpanSender([demo.engine(name) for name in NAMES], port, 1.7e9)
        self.before = {name: self.truth(name) for name in NAMES}
        section = OtlpSection(listen=f"127.0.0.1:{port}")
        self.receiver = OtlpSource(section, load_profiles().values(), lambda: NAMES)

    def truth(self, name: str) -> dict[str, GoodCount]:
        return self.demo.engine(name).read_now(lambda one: {slo: good for slo, (_, good) in one.truth.watched.items()})

    async def pass_time(self, seconds: float) -> bool:
        self.clock.forward(seconds)
        return await self.sender.send(self.client)


@asynccontextmanager
async def sending() -> AsyncIterator[Sending]:
    clock = HandClock()
    demo = Demo(clock=clock, wall_clock=lambda: 1.7e9)
    async with aiohttp.ClientSession() as client:
        one = Sending(clock, demo, free_port(), client)
        try:
            yield one
        finally:
            await one.receiver.aclose()


async def test_records_are_the_truth_request_for_request() -> None:
    """Eligible and good requests and good tokens from spans equal the ground truth at that time, for each SLO."""
    async with sending() as one:
        await one.receiver.read()
        for _ in range(3):
            assert await one.pass_time(20.0)
        reading = await one.receiver.read()
        assert not reading.dropped
        for name in NAMES:
            records = [record for record in reading.records if record.server == name]
            now = one.truth(name)
            assert len(records) > 100
            for slo in DEFAULT_SLOS:
                exact, then = count_records(zero_totals(slo), slo, records), one.before[name][slo.name]
                assert exact.eligible == now[slo.name].eligible - then.eligible
                assert exact.good == now[slo.name].good - then.good
                assert exact.good_tokens == now[slo.name].good_tokens - then.good_tokens


async def test_what_nobody_takes_is_sent_again() -> None:
    """While goodwatt is down no span is lost, and none is delivered twice."""
    async with sending() as one:
        assert not await one.pass_time(10.0)
        await one.receiver.read()
        assert await one.pass_time(10.0)
        assert await one.pass_time(0.0)
        reading = await one.receiver.read()
        ended = sum(one.truth(name)["strict"].eligible - one.before[name]["strict"].eligible for name in NAMES)
        assert (len(reading.records), reading.dropped) == (ended, {})


async def test_a_demo_that_sends_names_the_receiver() -> None:
    """The configuration has a loopback address for spans, and none if the demo sends no spans."""
    for sends_spans in (True, False):
        demo = Demo(sends_spans=sends_spans)
        await demo.start()
        try:
            otlp = parse(demo.config_text()).otlp
            assert otlp.listen.startswith("127.0.0.1:") if otlp is not None else not sends_spans
        finally:
            await demo.aclose()
