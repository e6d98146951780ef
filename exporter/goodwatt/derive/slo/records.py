"""Add request records to the ledger: exact totals of every SLO, latency histograms, and record counts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from goodwatt.derive.slo.bounds import applies
from goodwatt.derive.slo.judge import count_records, record_latency, zero_totals
from goodwatt.derive.slo.latency_histograms import DEFAULT_EDGES, empty_histogram, histogram_edges, observe_latencies
from goodwatt.derive.slo.record_filter import CountedRecord
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import TokenCount
from goodwatt.model.ledger import Account, Ledger, RecordKey, SloKey
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Slo


def open_exact_totals(ledger: Ledger, accounts: Iterable[Account], slos: Sequence[Slo]) -> Ledger:
    """Start exact totals and latency histograms at 0 for those of these accounts that have none yet."""
    totals, latencies = dict(ledger.exact), dict(ledger.latencies)
    for account in accounts:
        for slo in _applying(slos, account):
            totals.setdefault(SloKey(account, slo.name), zero_totals(slo))
        for signal in DEFAULT_EDGES:
            if (account, signal) not in latencies:
                latencies[account, signal] = empty_histogram(histogram_edges(account, signal, slos))
    return replace(ledger, exact=totals, latencies=latencies)


def add_records(ledger: Ledger, counted: Iterable[CountedRecord], slos: Sequence[Slo]) -> Ledger:
    """Add these records. The totals of their accounts must be open (see `open_exact_totals`)."""
    totals, latencies, numbers = dict(ledger.exact), dict(ledger.latencies), dict(ledger.records)
    for account, records in _by_account(counted, numbers).items():
        for slo in _applying(slos, account):
            key = SloKey(account, slo.name)
            totals[key] = count_records(totals[key], slo, records)
        for signal in DEFAULT_EDGES:
            where = account, signal
            latencies[where] = observe_latencies(latencies[where], _seconds(records, signal))
    return replace(ledger, exact=totals, latencies=latencies, records=numbers)


def _by_account(
    counted: Iterable[CountedRecord], numbers: dict[RecordKey, int]
) -> Mapping[Account, list[RequestRecord]]:
    """Group records by account, in order of arrival; `numbers` is updated with how many there are of each kind."""
    grouped: dict[Account, list[RequestRecord]] = {}
    for account, source, record in counted:
        grouped.setdefault(account, []).append(record)
        key = RecordKey(account, source, record.outcome, _token_count(record))
        numbers[key] = numbers.get(key, 0) + 1
    return grouped


def _token_count(record: RequestRecord) -> TokenCount:
    if record.generated_tokens is None:
        return TokenCount.UNKNOWN
    return TokenCount.ESTIMATED if record.tokens_estimated else TokenCount.REPORTED


def _seconds(records: Iterable[RequestRecord], signal: Signal) -> tuple[float, ...]:
    """Latencies of successes only, because the duration of a failure does not measure the service."""
    successes = (record for record in records if record.outcome is Outcome.SUCCESS)
    return tuple(seconds for one in successes if (seconds := record_latency(one, signal)) is not None)


def _applying(slos: Iterable[Slo], account: Account) -> Iterator[Slo]:
    return (slo for slo in slos if applies(slo, *account))
