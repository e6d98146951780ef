"""`goodwatt demo`: serve metrics of simulated GPUs and servers, read by the real sources."""

import argparse
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from goodwatt.commands import flags
from goodwatt.runtime.errors import StartupError, UsageError

if TYPE_CHECKING:
    from goodwatt.config.config import Config
    from goodwatt.demo.faults import PlannedFault
    from goodwatt.runtime.web_options import WebOptions

HELP = "serve metrics of simulated GPUs and servers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `goodwatt run`, and --fault."""
    flags.add_config(parser, " for SLOs, prices and intervals; without it, the demo's own")
    flags.add_logging(parser)
    flags.add_web(parser)
    parser.add_argument(
        "--fault",
        dest="faults",
        metavar="KIND[:SERVER]@START[+LENGTH]",
        action="append",
        default=[],
        help="inject a fault (slow, hang, down or restart) START seconds in, for LENGTH seconds; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises UsageError for an unusable flag, StartupError when it cannot listen."""
    import asyncio

    web = flags.web_options(options)
    faults = planned_faults(options.faults)
    config = flags.load_config(options) if options.config else None
    flags.configure_logging(options)
    return asyncio.run(_serve(config, web, faults))


def planned_faults(texts: Iterable[str]) -> "tuple[PlannedFault, ...]":
    """Parse the values of --fault. Raises UsageError for one that is malformed or names no simulated server."""
    from goodwatt.demo.defaults import DEFAULT_SERVERS
    from goodwatt.demo.faults import planned_fault

    try:
        return tuple(planned_fault(text, [server.name for server in DEFAULT_SERVERS]) for text in texts)
    except ValueError as error:
        raise UsageError(f"--fault {error}") from None


async def _serve(own: "Config | None", web: "WebOptions", faults: "Sequence[PlannedFault]") -> int:
    try:
        return await _simulate(own, web, faults)
    except ExceptionGroup as group:  # TaskGroup wraps even a single failure in a group
        startup = group.subgroup(StartupError)
        raise group if startup is None else startup.exceptions[0] from None


async def _simulate(own: "Config | None", web: "WebOptions", faults: "Sequence[PlannedFault]") -> int:
    import asyncio
    from contextlib import AsyncExitStack

    from goodwatt.config.load import parse
    from goodwatt.config.plan import make_plan
    from goodwatt.demo.demo import Demo
    from goodwatt.runtime.serve import serve
    from goodwatt.sources.open import SourceContext

    async with AsyncExitStack() as running, asyncio.TaskGroup() as background:
        simulation = Demo(sends_spans=True)
        running.push_async_callback(simulation.aclose)
        await simulation.start()
        config = _with_simulated_sources(own, parse(simulation.config_text(), "<demo>"))
        context = SourceContext(driver=simulation.driver, simulated=True)
        injection = background.create_task(simulation.play(faults))
        try:
            return await serve(make_plan(config), web, context, None, "this is the demo")
        finally:
            injection.cancel()


def _with_simulated_sources(own: "Config | None", simulated: "Config") -> "Config":
    if own is None:
        return simulated
    sources = {"servers": simulated.servers, "gpus": simulated.gpus, "otlp": simulated.otlp, "server_discovery": ()}
    return own.model_copy(update=sources)
