"""The sampling loop: at each tick reads every source concurrently, folds the results and publishes a snapshot."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from goodwatt.derive.policy_change import apply_policy
from goodwatt.derive.retention import forget_removed
from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.gpu import GpusReading
from goodwatt.model.policy import Policy
from goodwatt.model.snapshot import Snapshot, SourceState
from goodwatt.model.source import (
    Reading,
    Reason,
    SourceResult,
    SourceUnavailable,
    Unavailable,
    server_source,
)
from goodwatt.sources.source import Source

log = logging.getLogger(__name__)

# A read may take this share of the interval; a slower one would delay every source's next tick. Servers get a little
# less (config/plan.py), so that the log line about a slow one comes from its source, which knows the address.
_DEADLINE_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks to use: monotonic seconds, wall-clock seconds, and sleep. Tests replace them."""

    monotonic: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(frozen=True, slots=True)
class _Change:
    """The sources and policy that take effect at the next tick."""

    sources: tuple[Source, ...]
    policy: Policy
    replaced: frozenset[str]
    then: Callable[[], None]


class Sampler:
    """Owns the fold's state. Every tick ends with one call to `publish`, even if every source fails."""

    def __init__(
        self,
        sources: Iterable[Source],
        policy: Policy,
        publish: Callable[[Snapshot], None],
        clocks: Clocks | None = None,
    ) -> None:
        self._sources = tuple(sources)
        self._policy = policy
        self._publish = publish
        self._clocks = clocks or Clocks()
        self._state = State()
        self._tick_seconds: float | None = None
        self._change: _Change | None = None
        self._woken = asyncio.Event()
        self._settled = asyncio.Event()
        self._missing_gpus: frozenset[tuple[str, str]] = frozenset()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that the latest tick read."""
        return self._sources

    def change(
        self,
        sources: Iterable[Source],
        policy: Policy,
        *,
        replaced: Iterable[str] = (),
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Read exactly these sources under this policy from the next tick on, and close all others.

        The names in `replaced` may now stand for other servers, so their counters get a new baseline. `then` is called
        when the change takes effect. A later change overrides one that has not taken effect yet, except that the
        `replaced` and `then` of both apply.
        """
        earlier = self._change or _Change((), policy, frozenset(), lambda: None)

        def both() -> None:
            earlier.then()
            then()

        self._change = _Change(tuple(sources), policy, earlier.replaced | frozenset(replaced), both)
        self._settled.clear()

    async def settle(self) -> None:
        """Tick now instead of at the next grid point, and wait until a snapshot with every change is published.

        Use while `run` is running; the grid restarts at that tick.
        """
        self._woken.set()
        await self._settled.wait()

    async def run(self, after_first: Callable[[], None] = lambda: None) -> None:
        """Tick until cancelled. A tick that overruns skips the grid points it missed; the grid never drifts."""
        await self._grid(after_first)
        while True:
            await self._grid(lambda: None)

    async def _grid(self, after_first: Callable[[], None]) -> None:
        began = self._clocks.monotonic()
        await self.tick()
        after_first()
        while not await self._woken_within(self._policy.interval_seconds, since=began):
            await self.tick()

    async def _woken_within(self, interval: float, since: float) -> bool:
        """Sleep until the next grid point; return whether `settle` asked for a tick before it."""
        late = (self._clocks.monotonic() - since) % interval
        waits = asyncio.ensure_future(self._clocks.sleep(interval - late)), asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if waits[0].done():
                waits[0].result()
        finally:
            for wait in waits:
                wait.cancel()
        woken = self._woken.is_set()
        self._woken.clear()
        return woken

    async def tick(self) -> Snapshot:
        """Read every source, fold and publish once; return the snapshot."""
        began = self._clocks.monotonic()
        await self._take_effect()
        results = await asyncio.gather(*(self._read(source) for source in self._sources))
        before, glitches = self._state.sources, self._state.ledger.gpu_glitches
        self._state, snapshot = step(
            self._state, results, self._policy, began, unix=self._clocks.unix(), tick_seconds=self._tick_seconds
        )
        for state in snapshot.sources:
            _log_transition(before.get(state.source), state)
        _log_glitches(glitches, snapshot)
        self._log_missing_gpus(snapshot)
        self._publish(snapshot)
        self._tick_seconds = self._clocks.monotonic() - began
        if self._change is None:
            self._settled.set()
        return snapshot

    async def _take_effect(self) -> None:
        """Apply a pending change. No source is being read between two ticks, so sources can be closed here."""
        change, self._change = self._change, None
        if change is None:
            return
        gone = [source for source in self._sources if source not in change.sources]
        read = {source.id for source in change.sources}
        state = forget_removed(self._state, read, replaced=change.replaced)
        self._state = apply_policy(state, self._policy, change.policy)
        self._sources, self._policy = change.sources, change.policy
        change.then()
        await asyncio.gather(*(source.aclose() for source in gone))

    async def _read(self, source: Source) -> SourceResult:
        began = self._clocks.monotonic()
        deadline = min(source.deadline_seconds, self._policy.interval_seconds * _DEADLINE_SHARE)
        outcome: Reading | Unavailable
        try:
            async with asyncio.timeout(deadline):
                outcome = await source.read()
        except SourceUnavailable as failure:
            outcome = Unavailable(failure.reason, failure.detail)
        except TimeoutError:
            outcome = Unavailable(
                Reason.TIMEOUT, f"{source.id}: no answer within {deadline:g} s; is it overloaded or hanging?"
            )
        return SourceResult(source.id, self._clocks.monotonic() - began, outcome)

    def _log_missing_gpus(self, snapshot: Snapshot) -> None:
        if snapshot.gpus is not None:
            logged, self._missing_gpus = self._missing_gpus, frozenset(missing_gpus(self._policy, snapshot.gpus))
            present = ", ".join(str(reading.gpu.index) for reading in snapshot.gpus.gpus)
            for server, missing in sorted(self._missing_gpus - logged):
                log.warning(
                    "%s: gpus lists %s, which this machine does not have; its GPUs: %s (UUIDs: goodwatt_gpu_info); "
                    "correct gpus",
                    server_source(server),
                    missing,
                    present,
                )

    async def aclose(self) -> None:
        """Close every source."""
        await asyncio.gather(*(source.aclose() for source in self._sources))


def _log_transition(before: SourceState | None, now: SourceState) -> None:
    if now.up and (before is None or not before.up):
        log.info("%s: reading", now.source)
    elif not now.up and (before is None or before.reason is not now.reason):
        log.warning("%s (reason=%s)", now.detail, now.reason)


def _log_glitches(before: Mapping[str, int], now: Snapshot) -> None:
    for uuid, count in now.ledger.gpu_glitches.items():
        if count > before.get(uuid, 0):
            log.warning(
                "nvml: %s: its energy counter rose faster than its power limit allows; the jump is not counted", uuid
            )


def missing_gpus(policy: Policy, read: GpusReading) -> Iterator[tuple[str, str]]:
    """Yield each server whose `gpus` lists GPUs that were not read, and those GPUs; it misses their energy."""
    known = {selector for reading in read.gpus for selector in (reading.gpu.index, reading.gpu.uuid)}
    for server, selectors in policy.server_gpus.items():
        missing = ", ".join(str(selector) for selector in selectors if selector not in known)
        if missing:
            yield server, missing
