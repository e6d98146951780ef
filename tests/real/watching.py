"""The figures the tests read from goodwatt's page about one server, and the configuration for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.real.engines import Goodwatt
from tests.real.pages import Page
from tests.real.traffic import Usage

GENERATED = "goodwatt_generated_tokens_total"
PROMPT = "goodwatt_prompt_tokens_total"
CACHED = "goodwatt_cached_prompt_tokens_total"
REQUESTS = "goodwatt_requests_total"


def config(
    server: str, url: str, *, interval: float = 0.5, window: float = 60.0, reads: str = "auto", more: str = ""
) -> str:
    """A configuration with one server, whose engine goodwatt must detect, and no GPU."""
    gpus = "" if "gpus:" in more else "gpus: {kind: none}\n"
    return (
        f"interval_seconds: {interval}\nwindow_seconds: {window}\n{gpus}"
        f"servers:\n  - {{name: {server}, url: '{url}', engine: auto, read_interval_seconds: {reads}}}\n{more}"
    )


def is_up(page: Page, server: str) -> bool:
    return page.total("goodwatt_server_up", server=server) == 1


def is_down(page: Page, server: str) -> bool:
    return page.total("goodwatt_server_up", server=server) == 0


def failures(page: Page, server: str, reason: str) -> float:
    return page.total("goodwatt_source_failures_total", source=f"server/{server}", reason=reason) or 0


def counted(page: Page, server: str) -> tuple[float | None, float | None, float | None]:
    """Prompt, cached prompt and generated tokens."""
    prompt, cached, generated = (page.total(name, server=server) for name in (PROMPT, CACHED, GENERATED))
    return prompt, cached, generated


def tokens(usage: Usage) -> tuple[int, int, int]:
    """The same three as the client counted them."""
    return usage.prompt, usage.cached, usage.generated


@dataclass
class Watched:
    """How often the page was scraped, and every counter that ever decreased."""

    looks: int = 0
    falls: list[str] = field(default_factory=list)


@asynccontextmanager
async def counters(watch: Goodwatt, metrics: tuple[str, ...] = (GENERATED, PROMPT)) -> AsyncIterator[Watched]:
    """Watch the page continuously for decreasing counters."""
    seen = Watched()
    looking = asyncio.create_task(_look(watch, metrics, seen))
    try:
        yield seen
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking  # a failure while watching fails the test


async def _look(watch: Goodwatt, metrics: tuple[str, ...], seen: Watched) -> None:
    highest: dict[object, float] = {}
    while True:
        page = await watch.page()
        seen.looks += 1
        for metric in metrics:
            for labels, value in page.series(metric).items():
                key = metric, labels
                if value < highest.get(key, 0.0):
                    seen.falls.append(f"{metric}{dict(labels)}: {highest[key]:g}, then {value:g}")
                highest[key] = max(value, highest.get(key, 0.0))
        await asyncio.sleep(0.2)
