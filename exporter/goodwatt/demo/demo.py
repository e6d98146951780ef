"""The whole demo: simulated servers on loopback, one simulated GPU driver, and a configuration file for them."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from random import Random

from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.demo.config_text import demo_config_text
from goodwatt.demo.defaults import DEFAULT_SERVERS, DEFAULT_SLOS
from goodwatt.demo.faults import PlannedFault, play
from goodwatt.demo.gpus import SimulatedDriver, SimulatedGpu
from goodwatt.demo.server import EngineServer, ServerFaults
from goodwatt.demo.server_spec import RunningServer, SimulatedServer
from goodwatt.demo.span_sender import SpanSender, free_port
from goodwatt.model.slo import Slo

PAST_SECONDS = 200.0


class Demo:
    """Simulated servers and GPUs that follow `clock`.

    `seed` determines everything but the clocks. The servers start with `past_seconds` of traffic already served.
    The driver may be used from another thread, and before `start`. With `sends_spans`, every request that ends after
    the start is sent as a span to the receiver in the configuration.
    """

    def __init__(
        self,
        servers: Sequence[SimulatedServer] = DEFAULT_SERVERS,
        slos: Sequence[Slo] = DEFAULT_SLOS,
        *,
        seed: int = 1,
        past_seconds: float = PAST_SECONDS,
        sends_spans: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._slos = tuple(slos)
        self._engines = tuple(
            ClockedEngine(spec, _seeded_random(seed, spec), clock, past_seconds=past_seconds, watched=self._slos)
            for spec in servers
        )
        self._gpus = tuple(
            SimulatedGpu(index, engine)
            for index, engine in enumerate(engine for engine in self._engines for _ in range(engine.spec.gpus))
        )
        self._epoch_seconds = wall_clock() - past_seconds
        self._span_port = free_port() if sends_spans else None
        self._http = tuple(EngineServer(engine, self._epoch_seconds) for engine in self._engines)
        if len({spec.name for spec in servers}) < len(servers):
            raise ValueError("two simulated servers have the same name; each needs its own")
        self._by_name = {http.engine.spec.name: http for http in self._http}
        self._running = AsyncExitStack()
        self.driver = SimulatedDriver(self._gpus)

    @property
    def servers(self) -> tuple[RunningServer, ...]:
        """Address, model and GPUs of each server; URLs are empty before `start`."""
        return tuple(
            RunningServer(
                name=http.engine.spec.name,
                url=http.url,
                model=http.engine.spec.model,
                gpu_uuids=tuple(gpu.uuid for gpu in self._gpus if gpu.engine is http.engine),
            )
            for http in self._http
        )

    async def start(self) -> None:
        """Listen on loopback ports chosen by the system. Simulates the past now, so that the first read is fast."""
        for engine in self._engines:
            engine.read_now(lambda _: None)
        for http in self._http:
            self._running.push_async_callback(http.aclose)
            await http.start()
        if self._span_port is not None:
            sender = SpanSender(self._engines, self._span_port, self._epoch_seconds)
            self._running.push_async_callback(sender.aclose)
            sender.start()

    async def aclose(self) -> None:
        """Stop listening. May be called again."""
        await self._running.aclose()

    def engine(self, name: str) -> ClockedEngine:
        """Return a server's simulation: its counters and its ground truth. Raises KeyError for an unknown name."""
        return self._by_name[name].engine

    def faults(self, name: str) -> ServerFaults:
        """Return the switches for a server's faults. Raises KeyError for an unknown name."""
        return self._by_name[name].faults

    async def play(self, plan: Iterable[PlannedFault]) -> None:
        """Inject every planned fault at its time, counted from now."""
        async with asyncio.TaskGroup() as group:
            for planned in plan:
                group.create_task(play(planned, {name: http.faults for name, http in self._by_name.items()}))

    def config_text(self) -> str:
        """Return a configuration file for the running demo, as YAML."""
        return demo_config_text(self.servers, self._slos, self._span_port)


def _seeded_random(seed: int, spec: SimulatedServer) -> Random:
    # Seeded with the server's name, so that adding a server does not change the others.
    return Random(f"{seed} {spec.name}")  # noqa: S311 - a reproducible load, not a secret
