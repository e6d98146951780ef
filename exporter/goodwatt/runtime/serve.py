"""Serves metrics until a signal: connects the sampler, the sources and the web server."""

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
from dataclasses import replace
from typing import Any

from goodwatt import __version__
from goodwatt.config.plan import Plan
from goodwatt.model.policy import Policy
from goodwatt.publish.http import Publisher
from goodwatt.publish.metrics.row import About
from goodwatt.runtime.discovery.local_ports import LocalPorts
from goodwatt.runtime.errors import StartupError
from goodwatt.runtime.reload import Reloader
from goodwatt.runtime.sampler import Sampler
from goodwatt.runtime.source_set import SourceSet
from goodwatt.runtime.web_options import WebOptions
from goodwatt.settings.sources import MAX_SERVERS
from goodwatt.sources.gpu.source import GpuSource
from goodwatt.sources.open import SourceContext
from goodwatt.sources.source import Source
from goodwatt.web.address import Address

log = logging.getLogger(__name__)

SHUTDOWN_TIMEOUT_SECONDS = 1.2  # leaves a margin below two seconds for a busy machine
# A DNS lookup that gets no answer blocks its thread for long; with one thread per server the others are not delayed.
BLOCKING_THREADS = MAX_SERVERS + 8


async def serve(
    plan: Plan, web: WebOptions, context: SourceContext, reread: Callable[[], Plan] | None, no_reload: str
) -> int:
    """Serve until SIGTERM or SIGINT and return 0. Raises StartupError when the address is unusable.

    A reload applies what `reread` returns; without it, reloads are refused with the reason `no_reload`.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_THREADS, "blocking"))
    about = replace(about_process(plan), simulated=context.simulated, reload_ok=True, reloaded_unix_seconds=time.time())
    reloader = Reloader(plan, about, reread, no_reload)
    publisher = Publisher(
        about,
        telemetry_path=web.telemetry_path,
        config_text=plan.redacted_text,
        unhealthy=lambda: _restart_reason(sampler.sources),
        reload=reloader.reload if web.lifecycle else None,
    )
    log_default_slos(plan.policy)
    sampler = Sampler((), plan.policy, publisher.publish)
    source_set = SourceSet(sampler, plan, context, LocalPorts(web.address.port))
    reloader.connect(sampler, source_set, publisher)
    async with AsyncExitStack() as running:
        running.push_async_callback(sampler.aclose)
        running.push_async_callback(source_set.aclose)
        running.push_async_callback(publisher.aclose)
        url = await _listen(publisher, web.address)
        welcome = f"open {url}{' (simulated)' if context.simulated else ''}"
        await tick_until_signal(sampler, source_set, reloader, welcome)
    return 0


def log_default_slos(policy: Policy) -> None:
    """Say where an SLO comes from that the operator did not configure."""
    for slo in policy.slos:
        if slo.is_default:
            limits = ", ".join(f"{one.signal} {one.seconds:g} s" for one in slo.thresholds)
            log.info("slos: none configured; goodput is shown for SLO %s (%s), which never alerts", slo.name, limits)


async def _listen(publisher: Publisher, address: Address) -> str:
    try:
        return (await publisher.start(*address)).url
    except OSError as error:
        raise StartupError(error.strerror) from None


def about_process(plan: Plan) -> About:
    """Describe this process and its configuration, before any reload."""
    return About(__version__, platform.python_version(), plan.config_hash)


async def tick_until_signal(sampler: Sampler, source_set: SourceSet, reloader: Reloader, welcome: str) -> None:
    """Tick until SIGTERM or SIGINT; log `welcome` after the first tick. SIGHUP reloads.

    An unexpected exception ends the task group, and with it the process.
    """
    stopping = asyncio.Event()
    tasks: set[asyncio.Task[object]] = set()
    async with asyncio.TaskGroup() as group:

        def start(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
            task = group.create_task(work())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        def stop() -> None:
            stopping.set()
            exit_within_timeout()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, start, reloader.reload)
        await source_set.refresh()  # has timeouts; afterwards the first tick reads every known server
        start(source_set.run)
        start(lambda: sampler.run(lambda: log.info("%s", welcome)))
        await stopping.wait()
        for task in tuple(tasks):
            task.cancel()


def exit_within_timeout() -> None:
    """End the process after SHUTDOWN_TIMEOUT_SECONDS even if a thread hangs in a blocking call."""
    watchdog = threading.Timer(SHUTDOWN_TIMEOUT_SECONDS, os._exit, args=(0,))
    watchdog.daemon = True
    watchdog.start()


def _restart_reason(sources: Sequence[Source]) -> str | None:
    for source in sources:
        if isinstance(source, GpuSource) and source.needs_restart:
            return f"{source.id}: the driver refuses every call until this process is restarted"
    return None
