"""What the fold keeps and what it forgets when servers are removed from what is watched, and models from a server."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from goodwatt.derive.state import State
from goodwatt.model.ledger import Account, Component, Ledger
from goodwatt.model.source import SourceId, SourceKind, proxy_source, server_source

REMEMBERED_SERVERS = 64  # removed ones whose accounts stay open, so that one that returns goes on where it was
MOST_ACCOUNTS = 256  # of one server that stay open: a name that is new at every deployment must not fill the memory

Key = TypeVar("Key", bound=tuple[object, ...])
Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


def forget_removed(state: State, sources: Collection[SourceId], *, replaced: Collection[str] = ()) -> State:
    """Forget what belongs to sources that are no longer read: `sources` are all that the next tick reads.

    The last page of a removed server, and of one in `replaced` (same name, something else behind it), is forgotten, so
    its next page is a baseline. Its accounts stay open, but only for the last REMEMBERED_SERVERS removed servers: older
    accounts are closed, and only the sums of what they were charged remain.
    GPUs of a removed source are forgotten with their meters.
    """
    servers = {source.name for source in sources if source.kind is SourceKind.SERVER}
    kept = servers.difference(replaced)
    reset = {source(name) for name in replaced for source in (server_source, proxy_source)}
    pages = {name: page for name, page in state.engines.items() if name in kept}
    owners = {uuid: source for uuid, source in state.gpu_owners.items() if source in sources}
    accounts = (account.server for account in (*state.since, *state.records_since))
    known = dict.fromkeys([*state.departed, *accounts, *state.ledger.dropped_lines])
    departed = tuple(name for name in known if name not in servers)
    state = replace(
        state,
        sources={name: source for name, source in state.sources.items() if name not in reset},
        engines=pages,
        activities={name: done for name, done in state.activities.items() if name in pages},
        record_sources={name: source for name, source in state.record_sources.items() if name in kept},
        gpus={source: reading for source, reading in state.gpus.items() if source in sources},
        gpu_owners=owners,
        meters={uuid: meter for uuid, meter in state.meters.items() if uuid in owners},
        departed=departed[-REMEMBERED_SERVERS:],
    )
    return _without_servers(state, departed[:-REMEMBERED_SERVERS])


def crowded(state: State, server: str, present: Collection[Account]) -> State:
    """The state with at most MOST_ACCOUNTS open accounts of a server, or as many as are `present` on its page.

    Of those that are not there the ones that were first seen longest ago are closed, as those of a removed server are.
    """
    if len(state.since) + len(state.records_since) <= MOST_ACCOUNTS:
        return state
    known = [account for account in dict.fromkeys([*state.since, *state.records_since]) if account.server == server]
    absent = [account for account in known if account not in present]
    gone = frozenset(absent[: max(0, len(known) - MOST_ACCOUNTS)])
    return _closed(state, gone.__contains__) if gone else state


def _without_servers(state: State, servers: Collection[str]) -> State:
    if not servers:
        return state
    dropped = {name: lines for name, lines in state.ledger.dropped_lines.items() if name not in servers}
    state = replace(state, ledger=replace(state.ledger, dropped_lines=dropped))
    return _closed(state, lambda account: account.server in servers)


def _closed(state: State, gone: Callable[[Account], bool]) -> State:
    return replace(
        state,
        ledger=_without(state.ledger, gone),
        since={account: at for account, at in state.since.items() if not gone(account)},
        records_since={account: at for account, at in state.records_since.items() if not gone(account)},
        window_evidence=_kept(state.window_evidence, gone),
    )


def _without(ledger: Ledger, gone: Callable[[Account], bool]) -> Ledger:
    """The ledger without these accounts, and with what they were given added to what is closed."""
    grams = [value for account, value in ledger.carbon_grams.items() if gone(account)]
    joules = [value for (account, _), value in ledger.energy_millijoules.items() if gone(account)]
    return replace(
        ledger,
        counts=_kept(ledger.counts, gone),
        histograms=_kept(ledger.histograms, gone),
        energy_millijoules=_kept(ledger.energy_millijoules, gone),
        cost=_kept(ledger.cost, gone),
        sold_tokens=_kept(ledger.sold_tokens, gone),
        revenue=_kept(ledger.revenue, gone),
        carbon_grams={account: value for account, value in ledger.carbon_grams.items() if not gone(account)},
        evidence=_kept(ledger.evidence, gone),
        slos=_kept(ledger.slos, gone),
        exact=_kept(ledger.exact, gone),
        latencies=_kept(ledger.latencies, gone),
        records=_kept(ledger.records, gone),
        closed_energy_millijoules=_plus(ledger.closed_energy_millijoules, joules),
        closed_cost=_closed_cost(ledger, gone),
        closed_carbon_grams=_plus(ledger.closed_carbon_grams, grams),
    )


def _plus(total: Number | None, parts: Sequence[Number]) -> Number | None:
    """None where nothing was ever closed."""
    return sum(parts, total or 0) if parts else total


def _closed_cost(ledger: Ledger, gone: Callable[[Account], bool]) -> dict[Component, float]:
    spent = dict(ledger.closed_cost)
    for (account, component), value in ledger.cost.items():
        if gone(account):
            spent[component] = spent.get(component, 0.0) + value
    return spent


def _kept(entries: Mapping[Key, Value], gone: Callable[[Account], bool]) -> dict[Key, Value]:
    """The entries of other accounts (a key's first part)."""
    return {key: value for key, value in entries.items() if not gone(_account(key))}


def _account(key: tuple[object, ...]) -> Account:
    account = key[0]
    assert isinstance(account, Account)
    return account
