"""Add a server's pages to the ledger: counters and latency histograms."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from goodwatt.derive.counters import counter_increases, histogram_increases, is_baseline
from goodwatt.derive.energy.attribution import Activity
from goodwatt.derive.histograms import add_histograms
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, CountKey, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class PageGrowth:
    """What one page, or all pages of a tick, add, summed over replicas. A signal that the page lacks is absent.

    `reading` is the page, or the last one. `seconds` is the time since the previous page, without that before a
    baseline.
    """

    reading: EngineReading
    accounts: tuple[Account, ...]
    counts: Mapping[CountKey, float]
    histograms: Mapping[tuple[Account, Signal], Histogram]
    dropped_lines: int
    seconds: float
    is_baseline: bool


def measure_growth(previous: EngineReading | None, current: EngineReading) -> PageGrowth:
    """Return what a server counted since its previous page; nothing on its first."""
    counts: dict[CountKey, float] = {}
    for series, value in counter_increases(previous, current):
        key = CountKey(Account(current.server, series.model), series.signal, series.outcome)
        counts[key] = counts.get(key, 0.0) + value
    merged: dict[tuple[Account, Signal], Histogram] = {}
    for series, added in histogram_increases(previous, current):
        where = Account(current.server, series.model), series.signal
        merged[where] = add_histograms(merged[where], added) if where in merged else added
    baseline = is_baseline(previous, current)
    return PageGrowth(
        reading=current,
        accounts=page_accounts(current),
        counts=counts,
        histograms=merged,
        dropped_lines=current.dropped_lines,
        seconds=0.0 if previous is None or baseline else current.at_seconds - previous.at_seconds,
        is_baseline=baseline,
    )


def measure_pages(previous: EngineReading | None, reading: EngineReading) -> tuple[PageGrowth, ...]:
    """Return what each page of a tick counted since the page before it, oldest first."""
    pages = (*reading.earlier, replace(reading, earlier=()))
    return tuple(map(measure_growth, (previous, *pages), pages))


def total_growth(pages: Sequence[PageGrowth]) -> PageGrowth:
    """Return what these pages add together. There must be at least one."""
    if len(pages) == 1:
        return pages[0]
    counts: dict[CountKey, float] = {}
    histograms: dict[tuple[Account, Signal], Histogram] = {}
    for page in pages:
        _add_to(counts, histograms, page)
    return PageGrowth(
        reading=pages[-1].reading,
        accounts=tuple(dict.fromkeys(account for page in pages for account in page.accounts)),
        counts=counts,
        histograms=histograms,
        dropped_lines=sum(page.dropped_lines for page in pages),
        seconds=sum(page.seconds for page in pages),
        is_baseline=pages[-1].is_baseline,
    )


def page_accounts(reading: EngineReading) -> tuple[Account, ...]:
    """Return a page's accounts in page order: models with counters; without any, those with histograms or requests."""

    def named(models: Iterable[str]) -> tuple[Account, ...]:
        return tuple(Account(reading.server, model) for model in dict.fromkeys(models))

    running = (model for signal, model in reading.gauges if signal is Signal.REQUESTS_RUNNING)
    return named(s.model for s in reading.counters) or named(s.model for s in reading.histograms) or named(running)


def page_activities(growth: PageGrowth) -> tuple[Activity, ...]:
    """Return each account's activity per second since the previous page, because a page may cover several ticks."""
    seconds = growth.seconds if growth.seconds > 0.0 else 1.0
    return tuple(
        Activity(
            account,
            generated=growth.counts.get(CountKey(account, Signal.GENERATED_TOKENS), 0.0) / seconds,
            prompt=growth.counts.get(CountKey(account, Signal.PROMPT_TOKENS), 0.0) / seconds,
            running=growth.reading.gauges.get((Signal.REQUESTS_RUNNING, account.model), 0.0),
        )
        for account in growth.accounts
    )


def add_page(ledger: Ledger, growth: PageGrowth) -> Ledger:
    """Add the counters, histograms and malformed lines of one page, or of all pages of a tick, to the ledger."""
    counts, histograms, dropped = dict(ledger.counts), dict(ledger.histograms), dict(ledger.dropped_lines)
    _add_to(counts, histograms, growth)
    server = growth.reading.server
    dropped[server] = dropped.get(server, 0) + growth.dropped_lines
    return replace(ledger, counts=counts, histograms=histograms, dropped_lines=dropped)


def _add_to(
    counts: dict[CountKey, float], histograms: dict[tuple[Account, Signal], Histogram], growth: PageGrowth
) -> None:
    for key, value in growth.counts.items():
        counts[key] = counts.get(key, 0.0) + value
    for where, histogram in growth.histograms.items():
        histograms[where] = add_histograms(histograms[where], histogram) if where in histograms else histogram
