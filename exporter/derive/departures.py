"""What the fold keeps and what it forgets when servers are removed from what is watched."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from exporter.derive.freshness import proxy_source, server_source
from exporter.derive.state import State
from exporter.model.ledger import Account, Component, Ledger

REMEMBERED_SERVERS = 64  # removed ones whose accounts stay open, so that one that returns goes on where it was

Key = TypeVar("Key", bound=tuple[object, ...])
Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


def watched(state: State, servers: Collection[str], *, gpus: bool, anew: Collection[str] = ()) -> State:
    """The state for a tick that reads only `servers`, and GPUs only where `gpus` says so.

    The page of a server that is gone, or that is in `anew` (the same name with something else behind it), is forgotten:
    its next page is a baseline. Accounts stay, but those of all but the last REMEMBERED_SERVERS removed servers are
    closed: of what they were given only the sum is kept.
    """
    pages = {name: page for name, page in state.engines.items() if name in servers and name not in anew}
    strangers = {source(name) for name in anew for source in (server_source, proxy_source)}
    accounts = (account.server for account in (*state.since, *state.told))
    known = dict.fromkeys([*state.departed, *accounts, *state.ledger.dropped_lines])
    departed = tuple(name for name in known if name not in servers)
    state = replace(
        state,
        sources={name: source for name, source in state.sources.items() if name not in strangers},
        engines=pages,
        activities={name: done for name, done in state.activities.items() if name in pages},
        tellers={name: source for name, source in state.tellers.items() if name in servers and name not in anew},
        gpus=state.gpus if gpus else None,
        meters=state.meters if gpus else {},
        departed=departed[-REMEMBERED_SERVERS:],
    )
    return _closed(state, departed[:-REMEMBERED_SERVERS])


def _closed(state: State, servers: Collection[str]) -> State:
    if not servers:
        return state
    return replace(
        state,
        ledger=_without(state.ledger, servers),
        since={account: at for account, at in state.since.items() if account.server not in servers},
        told={account: at for account, at in state.told.items() if account.server not in servers},
        window_evidence=_kept(state.window_evidence, servers),
    )


def _without(ledger: Ledger, servers: Collection[str]) -> Ledger:
    """The ledger without the accounts of these servers, and with what they were given added to what is closed."""
    gone = [account for account in ledger.carbon_grams if account.server in servers]
    grams = [ledger.carbon_grams[account] for account in gone]
    joules = [value for (account, _), value in ledger.energy_millijoules.items() if account.server in servers]
    return replace(
        ledger,
        counts=_kept(ledger.counts, servers),
        histograms=_kept(ledger.histograms, servers),
        energy_millijoules=_kept(ledger.energy_millijoules, servers),
        cost=_kept(ledger.cost, servers),
        sold_tokens=_kept(ledger.sold_tokens, servers),
        revenue=_kept(ledger.revenue, servers),
        carbon_grams={account: value for account, value in ledger.carbon_grams.items() if account not in gone},
        evidence=_kept(ledger.evidence, servers),
        slos=_kept(ledger.slos, servers),
        exact=_kept(ledger.exact, servers),
        latencies=_kept(ledger.latencies, servers),
        records=_kept(ledger.records, servers),
        dropped_lines={name: lines for name, lines in ledger.dropped_lines.items() if name not in servers},
        closed_energy_millijoules=_plus(ledger.closed_energy_millijoules, joules),
        closed_cost=_closed_cost(ledger, servers),
        closed_carbon_grams=_plus(ledger.closed_carbon_grams, grams),
    )


def _plus(total: Number | None, parts: Sequence[Number]) -> Number | None:
    """None where nothing was ever closed."""
    return sum(parts, total or 0) if parts else total


def _closed_cost(ledger: Ledger, servers: Collection[str]) -> dict[Component, float]:
    spent = dict(ledger.closed_cost)
    for (account, component), value in ledger.cost.items():
        if account.server in servers:
            spent[component] = spent.get(component, 0.0) + value
    return spent


def _kept(entries: Mapping[Key, Value], servers: Collection[str]) -> dict[Key, Value]:
    """The entries of accounts (a key's first part) of other servers."""
    return {key: value for key, value in entries.items() if _server(key) not in servers}


def _server(key: tuple[object, ...]) -> str:
    account = key[0]
    assert isinstance(account, Account)
    return account.server
