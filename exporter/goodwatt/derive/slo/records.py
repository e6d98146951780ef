"""Fold requests' records into the ledger: exact totals of every SLO, latencies, and how many records there were."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from goodwatt.derive.slo import judge, latency_histograms
from goodwatt.derive.slo.bounds import applies
from goodwatt.derive.slo.record_filter import Admitted
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import TokenCount
from goodwatt.model.ledger import Account, Ledger, RecordKey, SloKey
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Slo


def opened(ledger: Ledger, accounts: Iterable[Account], slos: Sequence[Slo]) -> Ledger:
    """The ledger with totals and latencies that begin at 0 for these accounts, wherever they have none yet."""
    totals, observed = dict(ledger.exact), dict(ledger.latencies)
    for account in accounts:
        for slo in _naming(slos, account):
            totals.setdefault(SloKey(account, slo.name), judge.blank(slo))
        for signal in latency_histograms.LADDERS:
            if (account, signal) not in observed:
                observed[account, signal] = latency_histograms.empty(latency_histograms.edges(account, signal, slos))
    return replace(ledger, exact=totals, latencies=observed)


def post(ledger: Ledger, admitted: Iterable[Admitted], slos: Sequence[Slo]) -> Ledger:
    """The ledger with these records added. Their accounts are opened already."""
    totals, observed, kinds = dict(ledger.exact), dict(ledger.latencies), dict(ledger.records)
    for account, records in _by_account(admitted, kinds).items():
        for slo in _naming(slos, account):
            key = SloKey(account, slo.name)
            totals[key] = judge.count(totals[key], slo, records)
        for signal in latency_histograms.LADDERS:
            observed[account, signal] = latency_histograms.observe(observed[account, signal], _seconds(records, signal))
    return replace(ledger, exact=totals, latencies=observed, records=kinds)


def _by_account(admitted: Iterable[Admitted], kinds: dict[RecordKey, int]) -> Mapping[Account, list[RequestRecord]]:
    """Records in the order that they came, by account; `kinds` counts them."""
    grouped: dict[Account, list[RequestRecord]] = {}
    for account, source, record in admitted:
        grouped.setdefault(account, []).append(record)
        kind = RecordKey(account, source, record.outcome, _known(record))
        kinds[kind] = kinds.get(kind, 0) + 1
    return grouped


def _known(record: RequestRecord) -> TokenCount:
    if record.generated_tokens is None:
        return TokenCount.UNKNOWN
    return TokenCount.ESTIMATED if record.tokens_estimated else TokenCount.REPORTED


def _seconds(records: Iterable[RequestRecord], signal: Signal) -> tuple[float, ...]:
    """Latencies of successes: how long a failure took says nothing of the service."""
    successes = (record for record in records if record.outcome is Outcome.SUCCESS)
    return tuple(seconds for one in successes if (seconds := judge.latency(one, signal)) is not None)


def _naming(slos: Iterable[Slo], account: Account) -> Iterator[Slo]:
    return (slo for slo in slos if applies(slo, *account))
