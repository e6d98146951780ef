"""Which records count, for which account: each request once, and never more accounts than a server may have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from goodwatt.derive import page_growth
from goodwatt.derive.state import State
from goodwatt.model.engine import EngineReading, Outcome
from goodwatt.model.ledger import Account
from goodwatt.model.request import Dropped, RequestRecord, RequestsReading
from goodwatt.model.source import SourceId, SourceKind, SourceResult, Unavailable, server_source

MOST_MODELS = 256  # of one server; requests under further names share the account without a name
LONGEST_NAME = 256
UNNAMED = ""


class Admitted(NamedTuple):
    """A record that counts."""

    account: Account
    source: SourceId
    record: RequestRecord


@dataclass(frozen=True, slots=True)
class Admission:
    """Which records of a tick count.

    `record_sources` maps each server to the source whose records count; `dropped` counts the other records.
    """

    admitted: tuple[Admitted, ...]
    record_sources: Mapping[str, SourceId]
    dropped: Mapping[tuple[SourceId, Dropped], int]


def admission(state: State, results: Sequence[SourceResult]) -> Admission:
    """What to do with every record of a tick. `state.sources` and `state.engines` are already those of this tick."""
    record_sources = _record_sources(state.record_sources, results)
    names: dict[str, _Names] = {}
    admitted: list[Admitted] = []
    dropped: dict[tuple[SourceId, Dropped], int] = {}
    for source, record in _records(results):
        refused = _refused(record.server, source, state, record_sources)
        if refused is not None:
            dropped[source, refused] = dropped.get((source, refused), 0) + 1
            continue
        if record.server not in names:
            names[record.server] = _Names(state, record.server)
        admitted.append(Admitted(names[record.server].account(record), source, record))
    return Admission(tuple(admitted), record_sources, dropped)


def _records(results: Sequence[SourceResult]) -> list[tuple[SourceId, RequestRecord]]:
    read = [(r.source, r.outcome.records) for r in results if isinstance(r.outcome, RequestsReading)]
    return [(source, record) for source, records in read for record in records]


def _record_sources(before: Mapping[str, SourceId], results: Sequence[SourceResult]) -> dict[str, SourceId]:
    """A server's own proxy tells of it as long as there is one; else whoever told of it first.

    Two sources that both saw a request would count it twice, and nothing in two records says that they are of one.
    """
    present = {result.source for result in results}
    kept = {s: source for s, source in before.items() if {source, server_source(s)} <= present}
    fronted = {server: r.source for r in results if (server := _fronted(r, before)) is not None}
    return {s: source for s, source in kept.items() if source.kind is not SourceKind.SERVER} | fronted


def _fronted(result: SourceResult, before: Mapping[str, SourceId]) -> str | None:
    """The server that a source is the proxy of: by its name, or because a server's own source brings records."""
    server = result.source.name
    if result.source.kind is SourceKind.PROXY:
        return server
    if result.source.kind is not SourceKind.SERVER:
        return None
    was = isinstance(result.outcome, Unavailable) and before.get(server) == result.source
    return server if was or isinstance(result.outcome, RequestsReading) else None


def _refused(server: str, source: SourceId, state: State, record_sources: dict[str, SourceId]) -> Dropped | None:
    if server_source(server) not in state.sources:
        return Dropped.UNKNOWN_SERVER
    return None if record_sources.setdefault(server, source) == source else Dropped.OTHER_SOURCE


class _Names:
    """The model names of one server, as they become known in the course of one tick."""

    def __init__(self, state: State, server: str) -> None:
        known = (*state.since, *state.records_since)
        self._accounts = {account.model: account for account in known if account.server == server}
        self._unnamed = Account(server, UNNAMED)
        self._only = _only(state.engines.get(server))

    def account(self, record: RequestRecord) -> Account:
        """The account that a record belongs to. What a client may make up becomes a name only by an answer."""
        if self._only is not None and (record.model == UNNAMED or not self._only.by_name):
            return self._only.account
        known = self._accounts.get(record.model)
        if known is not None:
            return known
        if record.outcome is not Outcome.SUCCESS or len(self._accounts) >= MOST_MODELS or not _is_name(record.model):
            return self._unnamed
        return self._accounts.setdefault(record.model, Account(record.server, record.model))


class _Only(NamedTuple):
    """The one account of a page, and whether its engine tells models apart by name."""

    account: Account
    by_name: bool


def _only(page: EngineReading | None) -> _Only | None:
    accounts = () if page is None else page_growth.accounts(page)
    return _Only(accounts[0], page.traits.names_models) if page is not None and len(accounts) == 1 else None


def _is_name(model: str) -> bool:
    """Whether it can stand on a page."""
    return model.isprintable() and len(model) <= LONGEST_NAME
