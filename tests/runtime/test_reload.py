"""Reloads, without the process around them."""

import asyncio
import logging

import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import Plan, make_plan
from goodwatt.publish.http import Publisher
from goodwatt.publish.metrics.row import About
from goodwatt.runtime.reload import Reloader
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import SourceSet
from goodwatt.sources.open import SourceContext

FIRST = "interval_seconds: 300\nwindow_seconds: 600\nservers: []\ngpus: {kind: none}\n"


class Process:
    """A reloader with everything it reloads, ticking."""

    def __init__(self) -> None:
        self.text = FIRST
        plan = make_plan(parse(self.text))
        about = About("1", "3", plan.config_hash, reload_ok=True, reloaded_unix_seconds=1.0)
        self.publisher = Publisher(about, config_text="first")
        self.sampler = Sampler((), plan.policy, self.publisher.publish)
        self.source_set = SourceSet(self.sampler, plan, SourceContext())
        self.reloader = Reloader(plan, about, self.read)
        self.reloader.connect(self.sampler, self.source_set, self.publisher)
        self.running: asyncio.Task[None] | None = None

    def read(self) -> Plan:
        return make_plan(parse(self.text, "g.yaml"))

    async def __aenter__(self) -> "Process":
        await self.source_set.refresh()
        self.running = asyncio.create_task(self.sampler.run())
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.running is not None
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self.source_set.aclose()


async def test_concurrent_reloads_run_one_after_the_other() -> None:
    """All complete, each with its configuration on a snapshot, and the last one is in force."""
    async with Process() as process:
        process.text = FIRST + "carbon: {grams_per_kwh: 100}\n"
        async with asyncio.timeout(5):
            done = await asyncio.gather(*(process.reloader.reload() for _ in range(5)))
        assert all(one.ok for one in done)
        latest = process.publisher.latest
        assert latest is not None and latest.policy.carbon is not None and latest.ticks == 6
        assert process.reloader.about.config_hash == process.read().config_hash


async def test_counters_that_restart_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The reload logs an objective with new thresholds, and a new currency."""
    async with Process() as process:
        prices = "cost: {{currency: {}, price_per_kwh: 1}}\nslos: [{{name: s, ttft_seconds: {}}}]\n"
        process.text = FIRST + prices.format("USD", 1)
        await process.reloader.reload()
        process.text = FIRST + prices.format("EUR", 2)
        with caplog.at_level(logging.INFO):
            await process.reloader.reload()
        assert [record.getMessage() for record in caplog.records][:2] == [
            "reload: slo s: its thresholds or conventions changed, so its counts restart from 0",
            "reload: cost: the currency changed, so its counts restart from 0",
        ]


async def test_a_rejected_file_only_changes_the_metric() -> None:
    """Hash, time and policy stay; a valid file afterwards clears the metric and advances the time."""
    async with Process() as process:
        before = process.reloader.about
        process.text = "nonsense"
        refused = await process.reloader.reload()
        assert not refused.ok and refused.text.splitlines()[0].startswith("g.yaml:1: ")
        about = process.reloader.about
        assert (about.reload_ok, about.config_hash, about.reloaded_unix_seconds) == (False, before.config_hash, 1.0)
        process.text = FIRST
        assert (await process.reloader.reload()).ok
        now = process.reloader.about.reloaded_unix_seconds
        assert process.reloader.about.reload_ok and now is not None and now > 1.0
