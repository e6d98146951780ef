"""The commands that read: run, demo, once."""

import asyncio
import logging
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from goodwatt import __version__
from goodwatt.config.config import MAX_SERVERS, Config
from goodwatt.config.load import load, parse
from goodwatt.config.redacted import config_hash, redacted
from goodwatt.demo.demo import Demo
from goodwatt.demo.faults import PlannedFault
from goodwatt.publish.exposition.formats import render
from goodwatt.publish.http import About, Publisher
from goodwatt.publish.metrics.table import table
from goodwatt.runtime.discovery.local_ports import LocalPorts
from goodwatt.runtime.errors import StartupError
from goodwatt.runtime.reload import Reloader
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import Watch
from goodwatt.runtime.web_options import Web
from goodwatt.sources.gpu.source import GpuSource
from goodwatt.sources.open import World
from goodwatt.sources.source import Source
from goodwatt.web.address import Address

log = logging.getLogger(__name__)

LEAVE_SECONDS = 1.2  # the promise is two seconds, on a busy machine too
# Looking up a name that no server answers for blocks a thread for long: one for each server keeps the others going.
BLOCKING_THREADS = MAX_SERVERS + 8


async def run(config: Config, web_: Web, file: Path | None = None) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads `file` again. Raises CannotStart when the address cannot be had."""
    reread = None if file is None else partial(load, file)
    reloader = Reloader(config, _about(config), reread, "there is no --config FILE to read again")
    return await _serve(config, web_, World(config.engine_profiles()), reloader)


async def demo(own: Config | None, web_: Web, plan: Sequence[PlannedFault] = ()) -> int:
    """Serve simulated GPUs and servers, under the SLOs, prices and intervals of `own` where it is given.

    What `plan` names goes wrong at its time. Raises CannotStart when the address cannot be had.
    """
    try:
        return await _simulated(own, web_, plan)
    except ExceptionGroup as several:  # of what runs beside one another, as which one thing comes, too
        refused = several.subgroup(StartupError)
        raise several if refused is None else refused.exceptions[0] from None


async def _simulated(own: Config | None, web_: Web, plan: Sequence[PlannedFault]) -> int:
    async with AsyncExitStack() as running, asyncio.TaskGroup() as beside:
        simulation = Demo(sends_spans=True)
        running.push_async_callback(simulation.aclose)
        await simulation.start()
        config = parse(simulation.config_text(), "<demo>")
        if own is not None:
            simulated = {"servers": config.servers, "gpus": config.gpus, "otlp": config.otlp, "server_discovery": ()}
            config = own.model_copy(update=simulated)
        world = World(config.engine_profiles(), simulation.driver, simulated=True)
        breaking = beside.create_task(simulation.play(plan))
        try:
            return await _serve(config, web_, world, Reloader(config, _about(config, True), None, "this is the demo"))
        finally:
            breaking.cancel()


async def once(config: Config) -> str:
    """One tick, as the text that one scrape would get.

    Nothing listens: nobody would come in time, and another goodwatt may be running under the same configuration.
    """
    read = config.without_listeners()
    sampler = Sampler((), read.policy(()), lambda _: None)
    watch = Watch(sampler, read, World(read.engine_profiles()))
    try:
        await watch.look()
        about = About(__version__, platform.python_version(), config_hash(config))
        return render(await sampler.tick(), table(about)).decode()
    finally:
        await watch.aclose()
        await sampler.aclose()


async def _serve(config: Config, web_: Web, world: World, reloader: Reloader) -> int:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS, "blocking"))
    publisher = Publisher(
        reloader.about,
        telemetry_path=web_.telemetry_path,
        config_text=redacted(config),
        unhealthy=lambda: _unhealthy(sampler.sources),
        reload=reloader.reload if web_.lifecycle else None,
    )
    sampler = Sampler((), config.policy(()), publisher.publish)
    watch = Watch(sampler, config, world, LocalPorts(web_.address.port))
    reloader.connect(sampler, watch, publisher)
    async with AsyncExitStack() as running:
        running.push_async_callback(sampler.aclose)
        running.push_async_callback(watch.aclose)
        running.push_async_callback(publisher.aclose)
        url = await _listen(publisher, web_.address)
        await _until_told(sampler, watch, reloader, f"open {url}{' (simulated)' if world.simulated else ''}")
    return 0


async def _listen(publisher: Publisher, address: Address) -> str:
    try:
        return (await publisher.start(*address)).url
    except OSError as error:
        raise StartupError(error.strerror) from None


def _about(config: Config, simulated: bool = False) -> About:
    python, now = platform.python_version(), time.time()
    return About(__version__, python, config_hash(config), simulated, reload_ok=True, reloaded_unix_seconds=now)


async def _until_told(sampler: Sampler, watch: Watch, reloader: Reloader, welcome: str) -> None:
    """Tick until a signal. What goes wrong in a way that nobody expected ends the group, and so the process."""
    told = asyncio.Event()
    tasks: set[asyncio.Task[object]] = set()
    async with asyncio.TaskGroup() as group:

        def start(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
            task = group.create_task(work())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def leave() -> None:
            told.set()
            _leave_soon()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave)
        loop.add_signal_handler(signal.SIGHUP, start, reloader.reload)
        await watch.look()  # a moment at most, so that the first tick already reads what is there
        start(watch.keep_looking)
        start(lambda: sampler.run(lambda: log.info("%s", welcome)))
        await told.wait()
        for task in tuple(tasks):
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
