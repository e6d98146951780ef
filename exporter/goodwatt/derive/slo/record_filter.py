"""Select the records that count, and their accounts: each request once, and a bounded number of accounts per server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from goodwatt.derive.page_growth import page_accounts
from goodwatt.derive.state import State
from goodwatt.model.engine import EngineReading, Outcome, Role
from goodwatt.model.ledger import Account
from goodwatt.model.request import Dropped, RequestRecord, RequestsReading
from goodwatt.model.source import SourceId, SourceKind, SourceResult, Unavailable, server_source

MAX_MODELS_PER_SERVER = 256  # requests under further names share the account without a name
MAX_MODEL_NAME_LENGTH = 256
UNNAMED_MODEL = ""


class CountedRecord(NamedTuple):
    """A record that counts, the account it counts for, and the source that reported it."""

    account: Account
    source: SourceId
    record: RequestRecord


@dataclass(frozen=True, slots=True)
class RecordSelection:
    """Which records of a tick count.

    `record_sources` maps each server to its record source; `dropped` counts the other records.
    """

    counted: tuple[CountedRecord, ...]
    record_sources: Mapping[str, SourceId]
    dropped: Mapping[tuple[SourceId, Dropped], int]


def select_records(state: State, results: Sequence[SourceResult]) -> RecordSelection:
    """Select the records of one tick. `state.sources` and `state.engines` must already be those of this tick."""
    record_sources = _record_sources(state.record_sources, results)
    names: dict[str, _ModelNames] = {}
    counted: list[CountedRecord] = []
    dropped: dict[tuple[SourceId, Dropped], int] = {}
    for source, record in _records(results):
        reason = _drop_reason(record.server, source, state, record_sources)
        if reason is not None:
            dropped[source, reason] = dropped.get((source, reason), 0) + 1
            continue
        if record.server not in names:
            names[record.server] = _ModelNames(state, record.server)
        counted.append(CountedRecord(names[record.server].account(record), source, record))
    return RecordSelection(tuple(counted), record_sources, dropped)


def _records(results: Sequence[SourceResult]) -> list[tuple[SourceId, RequestRecord]]:
    read = [(r.source, r.outcome.records) for r in results if isinstance(r.outcome, RequestsReading)]
    return [(source, record) for source, records in read for record in records]


def _record_sources(before: Mapping[str, SourceId], results: Sequence[SourceResult]) -> dict[str, SourceId]:
    """A server's records come from its proxy while it has one, or from the first source that reported one.

    Two sources that both saw a request would count it twice, and nothing in two records shows that they are the same
    request.
    """
    present = {result.source for result in results}
    kept = {s: source for s, source in before.items() if {source, server_source(s)} <= present}
    proxied = {server: r.source for r in results if (server := _proxied_server(r, before)) is not None}
    return {s: source for s, source in kept.items() if source.kind is not SourceKind.SERVER} | proxied


def _proxied_server(result: SourceResult, before: Mapping[str, SourceId]) -> str | None:
    """The server that a source is the proxy of: by its kind, or because the server's own source reports records."""
    server = result.source.name
    if result.source.kind is SourceKind.PROXY:
        return server
    if result.source.kind is not SourceKind.SERVER:
        return None
    was_proxy = isinstance(result.outcome, Unavailable) and before.get(server) == result.source
    return server if was_proxy or isinstance(result.outcome, RequestsReading) else None


def _drop_reason(server: str, source: SourceId, state: State, record_sources: dict[str, SourceId]) -> Dropped | None:
    if server_source(server) not in state.sources:
        return Dropped.UNKNOWN_SERVER
    page = state.engines.get(server)
    if page is not None and page.role is not Role.ANY:
        return Dropped.HALF_REQUEST
    return None if record_sources.setdefault(server, source) == source else Dropped.OTHER_SOURCE


class _ModelNames:
    """The model names of one server, with those that become known during one tick."""

    def __init__(self, state: State, server: str) -> None:
        known = (*state.since, *state.records_since)
        self._accounts = {account.model: account for account in known if account.server == server}
        self._unnamed = Account(server, UNNAMED_MODEL)
        self._only = _only_account(state.engines.get(server))

    def account(self, record: RequestRecord) -> Account:
        """Return the account of a record. A name that a client may have made up needs a success to become known."""
        if self._only is not None and (record.model == UNNAMED_MODEL or not self._only.by_name):
            return self._only.account
        known = self._accounts.get(record.model)
        if known is not None:
            return known
        if record.outcome is not Outcome.SUCCESS or not self._has_room or not _is_publishable(record.model):
            return self._unnamed
        return self._accounts.setdefault(record.model, Account(record.server, record.model))

    @property
    def _has_room(self) -> bool:
        return len(self._accounts) < MAX_MODELS_PER_SERVER


class _OnlyAccount(NamedTuple):
    """The only account on a page, and whether its engine distinguishes models by name."""

    account: Account
    by_name: bool


def _only_account(page: EngineReading | None) -> _OnlyAccount | None:
    accounts = () if page is None else page_accounts(page)
    return _OnlyAccount(accounts[0], page.traits.names_models) if page is not None and len(accounts) == 1 else None


def _is_publishable(model: str) -> bool:
    """Whether a name can be a label value: a lone surrogate would break every scrape."""
    return model.isprintable() and len(model) <= MAX_MODEL_NAME_LENGTH
