"""What the fold keeps and what it forgets when the operator changes objectives and prices.

What cannot go on under the new rules restarts from nothing, as after a restart: a reader of counters knows that.
Whatever restarts, the live window begins anew at the last tick, so that it never spans two meanings.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from goodwatt.derive import revenue
from goodwatt.derive.slo import bounds, histogram_evidence, latency_histograms, records
from goodwatt.derive.state import Mark, State
from goodwatt.model.ledger import Ledger, SloEvidence, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo
from goodwatt.model.tariff import Tariff

Value = TypeVar("Value")


def restarted(before: Policy, after: Policy) -> tuple[str, ...]:
    """What restarts from nothing under the new rules, in words for the log."""
    old, new = ({slo.name: slo for slo in policy.slos} for policy in (before, after))
    moved = sorted(name for name in old.keys() & new.keys() if _terms(old[name]) != _terms(new[name]))
    lines = [f"slo {name}: its thresholds or conventions changed, so its counts restart from 0" for name in moved]
    if _own_edges(before.slos) != _own_edges(after.slos):
        lines.append("latency histograms from records: those whose edges changed with the thresholds restart from 0")
    if None not in (before.tariff, after.tariff) and _currency(before.tariff) != _currency(after.tariff):
        lines.append("cost: the currency changed, so its counts restart from 0")
    if None not in (before.price_list, after.price_list) and _sold_in(before) != _sold_in(after):
        lines.append("revenue: the currency changed, so its counts restart from 0")
    return tuple(lines)


def ruled(state: State, before: Policy, after: Policy) -> State:
    """The state for a tick under the rules `after`, where the last tick was under `before`.

    Evidence stays for objectives whose terms are the same. For the others it begins at each server's last page, with
    the requests that were in flight there; totals from records begin at 0, as do latency histograms of other edges.
    Money restarts with another currency, carbon when it is switched off.
    New prices of tokens are for tokens that are counted from now on.
    """
    if before.slos != after.slos:
        state = _promised(state, before.slos, after.slos)
    if _currency(before.tariff) != _currency(after.tariff):
        state = _anew(state, replace(state.ledger, cost={}, unattributed_cost={}, closed_cost={}))
    if before.price_list != after.price_list:
        ledger = revenue.settled(state.ledger)
        same = _sold_in(before) == _sold_in(after)
        state = replace(state, ledger=ledger if same else replace(ledger, revenue={}))
    if after.carbon is None and before.carbon is not None:
        nothing = replace(state.ledger, carbon_grams={}, unattributed_carbon_grams=None, closed_carbon_grams=None)
        state = replace(state, ledger=nothing)
    return state


def _terms(slo: Slo) -> tuple[object, ...]:
    """What makes one request good and another one not: counts under other terms are of another promise."""
    return slo.thresholds, slo.one_token_outputs, slo.errors, slo.cancelled


def _own_edges(slos: Collection[Slo]) -> set[tuple[object, ...]]:
    """Thresholds that are edges only because of an objective, with the patterns of whose histograms they are in."""
    named = ((slo, threshold) for slo in slos for threshold in slo.thresholds)
    return {(s.servers, s.models, t) for s, t in named if t.seconds not in latency_histograms.LADDERS[t.signal]}


def _currency(tariff: Tariff | None) -> str | None:
    return None if tariff is None else tariff.currency


def _sold_in(policy: Policy) -> str | None:
    return None if policy.price_list is None else policy.price_list.currency


def _anew(state: State, ledger: Ledger) -> State:
    marks = () if state.at_seconds is None else (Mark(state.at_seconds, ledger),)
    return replace(state, ledger=ledger, marks=marks)


def _promised(state: State, before: Collection[Slo], after: Collection[Slo]) -> State:
    terms = {slo.name: _terms(slo) for slo in before}
    same = {slo.name: slo for slo in after if terms.get(slo.name) == _terms(slo)}
    ledger = state.ledger
    begun = dict(_beginnings(state, after, _staying(ledger.evidence, same)))
    state = replace(state, window_evidence={**_staying(state.window_evidence, same), **begun})
    kept = {**_staying(ledger.evidence, same), **begun}
    exact, slos = _staying(ledger.exact, same), _staying(ledger.slos, same)
    fitting = {at: h for at, h in ledger.latencies.items() if h.edges == latency_histograms.edges(*at, after)}
    ledger = replace(ledger, evidence=kept, slos=slos, exact=exact, latencies=fitting)
    return _anew(state, records.opened(ledger, state.records_since, tuple(after)))


def _staying(entries: Mapping[SloKey, Value], same: Mapping[str, Slo]) -> dict[SloKey, Value]:
    return {
        key: value for key, value in entries.items() if key.slo in same and bounds.applies(same[key.slo], *key.account)
    }


def _beginnings(state: State, slos: Collection[Slo], known: Collection[SloKey]) -> Iterator[tuple[SloKey, SloEvidence]]:
    """Evidence of objectives that are new to an account, as of its server's last page."""
    for account in state.since:
        page = state.engines.get(account.server)
        for slo in slos if page is not None else ():
            key = SloKey(account, slo.name)
            if key not in known and bounds.applies(slo, *account):
                assert page is not None
                yield key, replace(histogram_evidence.blank(slo), in_flight=histogram_evidence.in_flight(account, page))
