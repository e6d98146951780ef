"""The composition root: configuration -> sources -> sampler -> HTTP, in one TaskGroup, until a signal."""

import asyncio
import logging
import os
import platform
import signal
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from exporter import __version__
from exporter.config import Config, parse
from exporter.config.advice import advice
from exporter.config.public import config_hash, redacted
from exporter.demo.demo import Demo
from exporter.engines import load_profiles
from exporter.engines.matrix import coverage_matrix
from exporter.publish.address import Address, parse_address
from exporter.publish.formats import render
from exporter.publish.http import About, Publisher, checked_path
from exporter.publish.metrics import table
from exporter.publish.reference import reference as metrics_reference
from exporter.sources import World, open_source
from exporter.sources.discovery import USUAL_PORTS, find_servers
from exporter.sources.gpus import GpuSource
from exporter.sources.sampler import Sampler, Source
from exporter.sources.sections import GpusSection, ServerSection

__all__ = [
    "CannotStart",
    "Finder",
    "Web",
    "WrongUse",
    "advice",
    "demo",
    "engines_reference",
    "metrics_reference",
    "once",
    "run",
    "web",
]

log = logging.getLogger(__name__)

DISCOVERY_SECONDS = 30.0
DISCOVERY_PATIENCE_SECONDS = 0.5
FORGET_FOREIGN_SECONDS = 600.0  # a port that was something else may be an inference server now
LEAVE_SECONDS = 1.5


class CannotStart(Exception):
    """The command cannot do its work here; the message is one line that says what to do."""


class WrongUse(CannotStart):
    """A flag's value cannot be used."""


@dataclass(frozen=True, slots=True)
class Web:
    """Where and under which path the metrics are served."""

    address: Address
    telemetry_path: str


def web(address: str, telemetry_path: str) -> Web:
    """From the flags. Raises WrongUse when one of them is no address or path."""
    try:
        return Web(parse_address(address), checked_path(telemetry_path))
    except ValueError as wrong:
        raise WrongUse(str(wrong)) from None


def engines_reference() -> str:
    """Which engine offers which signal, as a table."""
    return coverage_matrix(load_profiles())


async def run(config: Config, web_: Web) -> int:
    """Serve until SIGTERM or SIGINT. Raises CannotStart when the address cannot be had."""
    return await _serve(config, web_, World(load_profiles()))


async def demo(own: Config | None, web_: Web) -> int:
    """Serve simulated GPUs and servers, under the SLOs, prices and intervals of `own` where it is given."""
    async with AsyncExitStack() as running:
        simulation = Demo()
        running.push_async_callback(simulation.aclose)
        await simulation.start()
        config = parse(simulation.config_text(), "<demo>")
        if own is not None:
            config = own.model_copy(update={"servers": config.servers, "gpus": config.gpus})
        return await _serve(config, web_, World(load_profiles(), simulation.driver, simulated=True))


async def once(config: Config) -> str:
    """One tick, as the text that one scrape would get."""
    world = World(load_profiles())
    sampler = Sampler(_sources(config, world), config.rules(), lambda _: None)
    try:
        if config.servers is None:
            await Finder(sampler, world, config, own_port=0).look()
        return render(await sampler.tick(), table(_about(config, world))).decode()
    finally:
        await sampler.aclose()


def _sources(config: Config, world: World) -> list[Source]:
    sections: tuple[GpusSection | ServerSection, ...] = (config.gpus, *(config.watched_servers() or ()))
    return [source for section in sections if (source := open_source(section, world)) is not None]


async def _serve(config: Config, web_: Web, world: World) -> int:
    sources = _sources(config, world)
    publisher = Publisher(
        _about(config, world),
        telemetry_path=web_.telemetry_path,
        config_text=redacted(config),
        unhealthy=lambda: _unhealthy(sources),
    )
    sampler = Sampler(sources, config.rules(), publisher.publish)
    async with AsyncExitStack() as running:
        running.push_async_callback(sampler.aclose)
        running.push_async_callback(publisher.aclose)
        url = await _listen(publisher, web_.address)
        finder = Finder(sampler, world, config, web_.address.port) if config.servers is None else None
        await _until_told(sampler, finder, f"open {url}{' (simulated)' if world.simulated else ''}")
    return 0


async def _listen(publisher: Publisher, address: Address) -> str:
    try:
        return (await publisher.start(*address)).url
    except OSError as error:
        raise CannotStart(error.strerror) from None


def _about(config: Config, world: World) -> About:
    return About(__version__, platform.python_version(), config_hash(config), world.simulated)


async def _until_told(sampler: Sampler, finder: "Finder | None", welcome: str) -> None:
    """Tick until a signal. What goes wrong in a way that nobody expected ends the group, and so the process."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with asyncio.TaskGroup() as group:
        tasks = []
        if finder is not None:
            await finder.look()  # half a second at most, so that the first tick already reads what is there
            tasks.append(group.create_task(finder.keep_looking()))
        tasks.append(group.create_task(sampler.run(lambda: log.info("%s", welcome))))
        await told.wait()
        _leave_soon()
        for task in tasks:
            task.cancel()


def _leave_soon() -> None:
    """A call that never comes back must not keep the process: after a moment it ends, whatever still hangs."""
    watchdog = threading.Timer(LEAVE_SECONDS, os._exit, args=(0,))
    watchdog.daemon = True
    watchdog.start()


def _unhealthy(sources: Sequence[Source]) -> str | None:
    if any(isinstance(source, GpuSource) and source.needs_restart for source in sources):
        return "nvml: the driver refuses every call until this process is restarted"
    return None


class Finder:
    """Looks for servers on the usual local ports, at once and then every half minute, and adds the new ones."""

    def __init__(
        self, sampler: Sampler, world: World, config: Config, own_port: int, ports: Sequence[int] = USUAL_PORTS
    ) -> None:
        self._sampler = sampler
        self._world = world
        self._config = config
        self._own_port = own_port
        self._ports = tuple(ports)
        self._found: set[int] = set()  # whatever answers there later is the same server
        self._foreign: set[str] = set()
        self._silent = False

    async def look(self) -> None:
        """One round."""
        found = await find_servers(
            self._world.profiles,
            self._ports,
            exclude_ports={self._own_port, *self._found},
            not_again=self._foreign,
            timeout_seconds=DISCOVERY_PATIENCE_SECONDS,
        )
        for server in found:
            self._found.add(server.port)
            self._add(ServerSection(name=server.name, url=server.url))
        self._tell()

    async def keep_looking(self) -> None:
        """Rounds for ever."""
        while True:
            for _ in range(round(FORGET_FOREIGN_SECONDS / DISCOVERY_SECONDS)):
                await asyncio.sleep(DISCOVERY_SECONDS)
                await self.look()
            self._foreign.clear()

    def _add(self, section: ServerSection) -> None:
        source = open_source(self._config.paced(section), self._world)
        assert source is not None
        log.info("%s: found at %s", source.name, section.url)
        self._sampler.add(source)

    def _tell(self) -> None:
        if not self._found and not self._silent:
            ports = ", ".join(str(port) for port in self._ports)
            log.warning("no inference server answers on the local ports %s; start one, or name it in servers:", ports)
        self._silent = not self._found
