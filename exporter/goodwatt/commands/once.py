"""`goodwatt once`: print one scrape and exit."""

import argparse
from typing import TYPE_CHECKING

from goodwatt.commands import flags
from goodwatt.commands.output import write_output

if TYPE_CHECKING:
    from goodwatt.config.plan import Plan

HELP = "read every source once, print the metrics and exit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration and logging flags."""
    flags.add_config(parser, "; without it, defaults and the servers on well-known local ports")
    flags.add_logging(parser)


def run(options: argparse.Namespace) -> int:
    """Print the text of one scrape. A source that cannot be read is part of it, not an error."""
    import asyncio

    from goodwatt.config.plan import make_plan

    plan = make_plan(flags.load_config(options))
    flags.configure_logging(options)
    write_output(asyncio.run(scrape_once(plan)))
    return 0


async def scrape_once(plan: "Plan") -> str:
    """Read every source for one tick and return the Prometheus text.

    Opens no listener for spans or proxies: no client could connect in time, and another goodwatt may already be
    running with the same configuration.
    """
    from goodwatt.publish.exposition.formats import render
    from goodwatt.publish.metrics.table import metric_table
    from goodwatt.runtime.sampler import Sampler
    from goodwatt.runtime.serve import about_process
    from goodwatt.runtime.source_set import SourceSet
    from goodwatt.sources.open import SourceContext

    sampler = Sampler((), plan.policy, lambda _: None)
    source_set = SourceSet(sampler, plan.without_listeners(), SourceContext())
    try:
        await source_set.refresh()
        return render(await sampler.tick(), metric_table(about_process(plan))).decode()
    finally:
        await source_set.aclose()
        await sampler.aclose()
