"""What goodwatt knows of engines: of all of them, and of the one behind an address."""

from goodwatt.config.config import Config
from goodwatt.config.validation.urls import same_page, url_message
from goodwatt.engines.report.coverage import coverage_matrix
from goodwatt.engines.report.explain import explain
from goodwatt.model.source import SourceUnavailable
from goodwatt.runtime.errors import StartupError, UsageError
from goodwatt.settings.sources import ServerSection
from goodwatt.sources.engine.exposition import labelled_names, metric_names
from goodwatt.sources.engine.source import EngineSource

NAME = "inspected"


def engines_reference(config: Config | None = None) -> str:
    """Which engine offers which signal, as a table; with a configuration its own engines too."""
    return coverage_matrix((config or Config()).engine_profiles())


async def inspect(config: Config, url: str, engine: str = "auto") -> str:
    """One read of the page behind `url`, explained. A server of the configuration with this address lends its access.

    Raises WrongUse for what is no address or engine, CannotStart where nothing can be read or recognised.
    """
    profiles = config.engine_profiles()
    wrong = url_message(url)
    if wrong is not None:
        raise UsageError(f"--url {wrong}")
    if engine != "auto" and engine not in profiles:
        raise UsageError(f"--engine: unknown engine {engine[:40]!r}; known: auto, {', '.join(profiles)}")
    source = EngineSource(_section(config, url, engine), profiles)
    try:
        look = await source.look()
    except SourceUnavailable as why:
        raise StartupError(f"{why.detail.removeprefix(f'{source.name}: ')} (reason={why.reason})") from None
    finally:
        await source.aclose()
    names = metric_names(look.body) | labelled_names(look.body)
    return explain(look.profile, names, look.page, look.reading)


def _section(config: Config, url: str, engine: str) -> ServerSection:
    paged = ((one, one.url) for one in config.servers or () if one.url is not None)
    known = next((one for one, page in paged if same_page(page) == same_page(url)), None)
    if known is None:
        return ServerSection(name=NAME, url=url, engine=engine)
    return known if engine == "auto" else known.model_copy(update={"engine": engine})
