"""`goodwatt run`: read this machine's GPUs and inference servers and serve their metrics."""

import argparse

from goodwatt.commands import flags

HELP = "read this machine's GPUs and servers and serve their metrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the configuration, logging and web flags."""
    flags.add_config(parser, "; without it, defaults and the servers on well-known local ports")
    flags.add_logging(parser)
    flags.add_web(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reloads --config. Raises StartupError when it cannot listen."""
    import asyncio

    from goodwatt.config.plan import make_plan
    from goodwatt.runtime.serve import serve
    from goodwatt.sources.open import SourceContext

    web = flags.web_options(options)
    plan = make_plan(flags.load_config(options))
    flags.configure_logging(options)
    reread = None if options.config is None else lambda: make_plan(flags.load_config(options))
    return asyncio.run(serve(plan, web, SourceContext(), reread, "there is no --config FILE to read again"))
