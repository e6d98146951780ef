"""Samples of the server metrics: the ledger's totals and the latest gauges of servers that are fresh."""

from collections.abc import Callable, Iterator

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import SourceKind
from goodwatt.publish.metrics.row import Sample


def up(snapshot: Snapshot) -> Iterator[Sample]:
    """server: 1 when its latest read succeeded. Every configured server is here, whatever its state."""
    for state in snapshot.sources:
        if state.source.kind is SourceKind.SERVER:
            yield (state.source.name,), int(state.up)


def info(snapshot: Snapshot) -> Iterator[Sample]:
    """server, engine, engine_version."""
    for server, page in snapshot.servers.items():
        yield (server, page.engine, page.engine_version or ""), 1


def counter(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model: the total of a signal without outcomes."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for key, value in snapshot.ledger.counts.items():
            if key.signal is signal and key.account.server in snapshot.servers:
                yield key.account, value

    return samples


def requests(snapshot: Snapshot) -> Iterator[Sample]:
    """server, model, outcome."""
    for (account, signal, outcome), value in snapshot.ledger.counts.items():
        if signal is Signal.REQUESTS and isinstance(outcome, Outcome) and account.server in snapshot.servers:
            yield (*account, outcome.value), value


def gauge(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model: the latest value."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for server, page in snapshot.servers.items():
            for (which, model), value in page.gauges.items():
                if which is signal:
                    yield (server, model), value

    return samples


def histogram(signal: Signal) -> Callable[[Snapshot], Iterator[Sample]]:
    """server, model: everything observed since start."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for (account, which), value in snapshot.ledger.histograms.items():
            if which is signal and account.server in snapshot.servers:
                yield account, value

    return samples


def dropped_lines(snapshot: Snapshot) -> Iterator[Sample]:
    """server."""
    for server, lines in snapshot.ledger.dropped_lines.items():
        if server in snapshot.servers:
            yield (server,), lines


def gpu_joules(snapshot: Snapshot) -> Iterator[Sample]:
    """server, uuid: as the server's page has it now, resets included."""
    for server, page in snapshot.servers.items():
        for uuid, joules in page.gpu_joules.items():
            yield (server, uuid), joules
