"""Reloads the configuration file of a running process."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from goodwatt.config.errors import ConfigError
from goodwatt.config.plan import Plan
from goodwatt.derive.policy_change import describe_resets
from goodwatt.publish.http import Publisher, Reloaded
from goodwatt.publish.metrics.row import About
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import SourceSet

log = logging.getLogger(__name__)


class Reloader:
    """Reloads the file on request, one reload at a time. An invalid file only sets the reload metric to 0."""

    def __init__(self, plan: Plan, about: About, reread: Callable[[], Plan] | None, why_not: str = "") -> None:
        """`reread` returns a new plan or raises ConfigError. Without it, reloads are rejected with `why_not`."""
        self._plan = plan
        self.about = about
        self._reread = reread
        self._why_not = why_not
        self._one_at_a_time = asyncio.Lock()
        self._parts: tuple[Sampler, SourceSet, Publisher] | None = None

    def connect(self, sampler: Sampler, source_set: SourceSet, publisher: Publisher) -> None:
        """Set the parts that a reload changes. Call once, before the first reload."""
        self._parts = sampler, source_set, publisher

    async def reload(self) -> Reloaded:
        """Reload and report the outcome. If ok, a snapshot under the new configuration is already published."""
        if self._reread is None:
            log.warning("reload: ignored: %s", self._why_not)
            return Reloaded(False, f"ignored: {self._why_not}")
        async with self._one_at_a_time:
            try:
                plan = await asyncio.to_thread(self._reread)
            except ConfigError as wrong:
                return self._rejected(wrong)
            return await self._applied(plan)

    def _rejected(self, wrong: ConfigError) -> Reloaded:
        assert self._parts is not None
        for problem in wrong.errors:
            log.error("reload: %s", problem)
        log.error("reload: the file is rejected; the previous configuration stays in force")
        self.about = replace(self.about, reload_ok=False)
        self._parts[2].update_about(self.about)
        return Reloaded(False, f"{wrong}\nthe file is rejected; the previous configuration stays in force")

    async def _applied(self, plan: Plan) -> Reloaded:
        assert self._parts is not None
        sampler, source_set, publisher = self._parts
        about = replace(self.about, config_hash=plan.config_hash, reload_ok=True, reloaded_unix_seconds=time.time())
        await source_set.apply_config(plan, lambda: publisher.adopt(about, plan.redacted_text))
        await sampler.settle()
        for line in describe_resets(self._plan.policy, plan.policy):
            log.info("reload: %s", line)
        log.info("reload: configuration %s is in force", about.config_hash)
        self._plan, self.about = plan, about
        return Reloaded(True, f"configuration {about.config_hash} is in force")
