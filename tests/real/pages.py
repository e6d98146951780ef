"""Prometheus pages as the tests read them, and waiting for a condition on them."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

PATIENCE = aiohttp.ClientTimeout(total=600)  # some tests suspend goodwatt while an engine starts


class Page:
    """Samples of one text page, parsed by prometheus_client."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def series(self, metric: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Values by labels of the samples with at least these labels."""
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for sample in self._samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        }

    def total(self, metric: str, **labels: str) -> float | None:
        """Sum of the samples with at least these labels; None if there are none."""
        found = self.series(metric, **labels)
        return sum(found.values()) if found else None


async def fetch(url: str) -> Page:
    """Scrape the page on a new connection: llama-server closes kept-alive ones."""
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.get(url, headers={"Accept": "text/plain"}, timeout=PATIENCE) as answer,
    ):
        answer.raise_for_status()
        return Page(await answer.text())


class HasPage(Protocol):
    async def page(self) -> Page: ...


async def until(source: HasPage, holds: Callable[[Page], bool], what: str, within_seconds: float = 15.0) -> Page:
    """The first page that meets the condition, scraped five times a second."""
    end = time.monotonic() + within_seconds
    while not holds(page := await source.page()):
        assert time.monotonic() < end, f"not within {within_seconds:g} s: {what}\n{_of_interest(page)}"
        await asyncio.sleep(0.2)
    return page


def _of_interest(page: Page) -> str:
    words = ("_server_", "_source_", "tokens_total", "requests_total", "energy_joules")
    lines = page.text.splitlines()
    return "\n".join(line for line in lines if not line.startswith("#") and any(word in line for word in words))
