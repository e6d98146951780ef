"""Fold a server's page into the ledger: counters and latency histograms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from goodwatt.derive import histograms
from goodwatt.derive.counters import counter_increases, histogram_increases, is_baseline
from goodwatt.derive.energy.attribution import Activity
from goodwatt.model.engine import EngineReading, Signal
from goodwatt.model.histogram import Histogram
from goodwatt.model.ledger import Account, CountKey, Ledger


@dataclass(frozen=True, slots=True)
class Growth:
    """What one page adds, replicas summed. A signal that the page lacks is absent.

    `seconds` is the time since the previous page, 0 where nothing can have grown: on a baseline.
    """

    accounts: tuple[Account, ...]
    counts: Mapping[CountKey, float]
    histograms: Mapping[tuple[Account, Signal], Histogram]
    seconds: float
    is_baseline: bool


def growth(previous: EngineReading | None, current: EngineReading) -> Growth:
    """What a server counted since its previous page (nothing on its first)."""
    counts: dict[CountKey, float] = {}
    for series, value in counter_increases(previous, current):
        key = CountKey(Account(current.server, series.model), series.signal, series.outcome)
        counts[key] = counts.get(key, 0.0) + value
    merged: dict[tuple[Account, Signal], Histogram] = {}
    for series, grown in histogram_increases(previous, current):
        where = Account(current.server, series.model), series.signal
        merged[where] = histograms.add(merged[where], grown) if where in merged else grown
    baseline = is_baseline(previous, current)
    seconds = 0.0 if previous is None or baseline else current.at_seconds - previous.at_seconds
    return Growth(accounts(current), counts, merged, seconds, baseline)


def accounts(reading: EngineReading) -> tuple[Account, ...]:
    """The accounts of a page, in page order: whom it counts, or else times, or else runs."""

    def named(models: Iterable[str]) -> tuple[Account, ...]:
        return tuple(Account(reading.server, model) for model in dict.fromkeys(models))

    running = (model for signal, model in reading.gauges if signal is Signal.REQUESTS_RUNNING)
    return named(s.model for s in reading.counters) or named(s.model for s in reading.histograms) or named(running)


def activities(grown: Growth, reading: EngineReading) -> tuple[Activity, ...]:
    """What each account of a page did since the previous one, per second: a page may cover several ticks."""
    seconds = grown.seconds if grown.seconds > 0.0 else 1.0
    return tuple(
        Activity(
            account,
            grown.counts.get(CountKey(account, Signal.GENERATED_TOKENS), 0.0) / seconds,
            grown.counts.get(CountKey(account, Signal.PROMPT_TOKENS), 0.0) / seconds,
            reading.gauges.get((Signal.REQUESTS_RUNNING, account.model), 0.0),
        )
        for account in grown.accounts
    )


def post(ledger: Ledger, reading: EngineReading, grown: Growth) -> Ledger:
    """The ledger with one page's growth added."""
    counts = dict(ledger.counts)
    for key, value in grown.counts.items():
        counts[key] = counts.get(key, 0.0) + value
    totals = dict(ledger.histograms)
    for where, histogram in grown.histograms.items():
        totals[where] = histograms.add(totals[where], histogram) if where in totals else histogram
    dropped = dict(ledger.dropped_lines)
    dropped[reading.server] = dropped.get(reading.server, 0) + reading.dropped_lines
    return replace(ledger, counts=counts, histograms=totals, dropped_lines=dropped)
