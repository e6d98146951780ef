"""`goodwatt engines`: print which engine offers which signal, or explain one server's metrics."""

import argparse
from collections.abc import Collection
from typing import TYPE_CHECKING

from goodwatt.commands import flags
from goodwatt.commands.output import write_output
from goodwatt.runtime.errors import StartupError, UsageError

if TYPE_CHECKING:
    from goodwatt.config.config import Config
    from goodwatt.settings.sources import ServerSection

HELP = "print which engine offers which signal, or explain a server"
_NAME = "inspected"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config, --url and --engine."""
    flags.add_config(parser, " for your own engine profiles and for credentials")
    parser.add_argument("--url", metavar="URL", help="read this server's metrics once and explain them")
    parser.add_argument("--engine", metavar="NAME", default="auto", help="profile to read it with; default: auto")


def run(options: argparse.Namespace) -> int:
    """Print the table of engines, or with --url what one server offers. Raises UsageError, StartupError."""
    config = flags.load_config(options)
    if options.url is not None:
        import asyncio

        write_output(asyncio.run(explain_server(config, options.url, options.engine)))
    elif options.engine != "auto":
        raise UsageError("--engine needs --url: it says how to read that server's page")
    else:
        from goodwatt.config.plan import engine_profiles
        from goodwatt.engines.report.coverage import coverage_matrix

        write_output(coverage_matrix(engine_profiles(config)))
    return 0


async def explain_server(config: "Config", url: str, engine: str = "auto") -> str:
    """Read the metrics at `url` once and explain them, with the credentials that `config` has for this address.

    Raises UsageError for an unusable URL or engine, StartupError when the page cannot be read or recognised.
    """
    from goodwatt.config.plan import engine_profiles
    from goodwatt.engines.report.explain import explain_page
    from goodwatt.model.source import SourceUnavailable
    from goodwatt.sources.engine.exposition import labelled_names, metric_names
    from goodwatt.sources.engine.source import EngineSource

    profiles = engine_profiles(config)
    _check_arguments(url, engine, profiles)
    source = EngineSource(_section(config, url, engine), profiles)
    try:
        scrape = await source.scrape()
    except SourceUnavailable as error:
        raise StartupError(f"{error.detail.removeprefix(f'{source.name}: ')} (reason={error.reason})") from None
    finally:
        await source.aclose()
    names = metric_names(scrape.body) | labelled_names(scrape.body)
    return explain_page(scrape.profile, names, scrape.page, scrape.reading)


def _check_arguments(url: str, engine: str, engines: Collection[str]) -> None:
    from goodwatt.config.validation.urls import url_message

    problem = url_message(url)
    if problem is not None:
        raise UsageError(f"--url {problem}")
    if engine != "auto" and engine not in engines:
        raise UsageError(f"--engine: unknown engine {engine[:40]!r}; known: auto, {', '.join(engines)}")


def _section(config: "Config", url: str, engine: str) -> "ServerSection":
    from goodwatt.config.validation.urls import same_page
    from goodwatt.settings.sources import ServerSection

    configured = ((server, server.url) for server in config.servers or () if server.url is not None)
    known = next((server for server, page in configured if same_page(page) == same_page(url)), None)
    if known is None:
        return ServerSection(name=_NAME, url=url, engine=engine)
    return known if engine == "auto" else known.model_copy(update={"engine": engine})
