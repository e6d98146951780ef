"""Bound what the fold remembers: forget removed servers and sources, close the accounts of old models."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from goodwatt.derive.state import State
from goodwatt.model.ledger import Account, Ledger
from goodwatt.model.source import SourceId, SourceKind, proxy_source, server_source

REMEMBERED_SERVERS = 64  # removed servers that keep open accounts: one that returns continues its counters
MAX_OPEN_ACCOUNTS = 256  # per server: a new model name at every deployment must not fill the memory

_Key = TypeVar("_Key", bound=tuple[object, ...])
_Value = TypeVar("_Value")
_Number = TypeVar("_Number", int, float)


def forget_removed(state: State, sources: Collection[SourceId], *, replaced: Collection[str] = ()) -> State:
    """Forget everything about sources other than `sources`, which are all that the next tick reads.

    The last page of a removed server, and of one in `replaced` (same name, another target), is forgotten, so
    its next page is a baseline. Its accounts stay open, but only for the last REMEMBERED_SERVERS removed servers: older
    ones are closed, and only the sums of their energy, cost and carbon remain.
    GPUs that a removed source owned are forgotten with their meters.
    """
    servers = {source.name for source in sources if source.kind is SourceKind.SERVER}
    kept = servers.difference(replaced)
    reset = {source(name) for name in replaced for source in (server_source, proxy_source)}
    pages = {name: page for name, page in state.engines.items() if name in kept}
    owners = {uuid: source for uuid, source in state.gpu_owners.items() if source in sources}
    accounts = (account.server for account in (*state.since, *state.records_since))
    known = dict.fromkeys([*state.removed_servers, *accounts, *state.ledger.dropped_lines])
    removed = tuple(name for name in known if name not in servers)
    state = replace(
        state,
        sources={source: health for source, health in state.sources.items() if source not in reset},
        engines=pages,
        activities={name: activities for name, activities in state.activities.items() if name in pages},
        tick_margins={account: margin for account, margin in state.tick_margins.items() if account.server in kept},
        record_sources={name: source for name, source in state.record_sources.items() if name in kept},
        torn_pages={name: page for name, page in state.torn_pages.items() if name in pages},
        progressed={name: at for name, at in state.progressed.items() if name in pages},
        gpus={source: reading for source, reading in state.gpus.items() if source in sources},
        gpu_owners=owners,
        meters={uuid: meter for uuid, meter in state.meters.items() if uuid in owners},
        removed_servers=removed[-REMEMBERED_SERVERS:],
    )
    return _without_servers(state, removed[:-REMEMBERED_SERVERS])


def cap_accounts(state: State, server: str, present: Collection[Account]) -> State:
    """Close a server's oldest accounts above MAX_OPEN_ACCOUNTS, but never one that is `present` on its page.

    Oldest means first seen longest ago. Accounts are closed as those of a removed server are.
    """
    if len(state.since) + len(state.records_since) <= MAX_OPEN_ACCOUNTS:
        return state
    known = [account for account in dict.fromkeys([*state.since, *state.records_since]) if account.server == server]
    absent = [account for account in known if account not in present]
    closed = frozenset(absent[: max(0, len(known) - MAX_OPEN_ACCOUNTS)])
    return _close(state, closed.__contains__) if closed else state


def _without_servers(state: State, servers: Collection[str]) -> State:
    if not servers:
        return state
    dropped = {name: lines for name, lines in state.ledger.dropped_lines.items() if name not in servers}
    state = replace(state, ledger=replace(state.ledger, dropped_lines=dropped))
    return _close(state, lambda account: account.server in servers)


def _close(state: State, closes: Callable[[Account], bool]) -> State:
    return replace(
        state,
        ledger=_close_in_ledger(state.ledger, closes),
        since={account: at for account, at in state.since.items() if not closes(account)},
        records_since={account: at for account, at in state.records_since.items() if not closes(account)},
        first_tokens=_open(state.first_tokens, closes),
        pairs={model: pair for model, pair in state.pairs.items() if not closes(pair.account)},
        tick_margins={account: margin for account, margin in state.tick_margins.items() if not closes(account)},
    )


def _close_in_ledger(ledger: Ledger, closes: Callable[[Account], bool]) -> Ledger:
    """Drop these accounts and add their energy, cost and carbon to the sums of closed accounts."""
    grams = [value for account, value in ledger.carbon_grams.items() if closes(account)]
    millijoules = [value for (account, _), value in ledger.energy_millijoules.items() if closes(account)]
    return replace(
        ledger,
        counts=_open(ledger.counts, closes),
        histograms=_open(ledger.histograms, closes),
        energy_millijoules=_open(ledger.energy_millijoules, closes),
        cost=_open(ledger.cost, closes),
        sold_tokens=_open(ledger.sold_tokens, closes),
        revenue=_open(ledger.revenue, closes),
        carbon_grams={account: value for account, value in ledger.carbon_grams.items() if not closes(account)},
        evidence=_open(ledger.evidence, closes),
        slos=_open(ledger.slos, closes),
        exact=_open(ledger.exact, closes),
        latencies=_open(ledger.latencies, closes),
        records=_open(ledger.records, closes),
        closed_energy_millijoules=_plus(ledger.closed_energy_millijoules, millijoules),
        closed_cost=_closed_cost(ledger, closes),
        closed_carbon_grams=_plus(ledger.closed_carbon_grams, grams),
    )


def _plus(total: _Number | None, parts: Sequence[_Number]) -> _Number | None:
    """The sum; None while no account was ever closed."""
    return sum(parts, total or 0) if parts else total


def _closed_cost(ledger: Ledger, closes: Callable[[Account], bool]) -> dict[str, float]:
    closed = dict(ledger.closed_cost)
    for (account, component), value in ledger.cost.items():
        if closes(account):
            closed[component] = closed.get(component, 0.0) + value
    return closed


def _open(entries: Mapping[_Key, _Value], closes: Callable[[Account], bool]) -> dict[_Key, _Value]:
    """The entries of the other accounts (a key's first part)."""
    return {key: value for key, value in entries.items() if not closes(_account(key))}


def _account(key: tuple[object, ...]) -> Account:
    account = key[0]
    assert isinstance(account, Account)
    return account
