"""Apply a changed policy: keep every count that still means the same, and restart the others.

A count that would change its meaning restarts from 0, which readers of counters handle as a counter reset. Whenever
one restarts, the live window restarts at the last tick, so it never spans two meanings.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from goodwatt.derive.revenue import mark_counted_as_sold
from goodwatt.derive.slo.bounds import applies, empty_evidence, unseen_first_tokens
from goodwatt.derive.slo.histogram_evidence import finished_requests, in_flight
from goodwatt.derive.slo.latency_histograms import DEFAULT_EDGES, histogram_edges
from goodwatt.derive.slo.records import open_exact_totals
from goodwatt.derive.state import Mark, State
from goodwatt.model.engine import EngineReading
from goodwatt.model.ledger import Account, Ledger, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo
from goodwatt.model.tariff import Tariff

_Value = TypeVar("_Value")


def describe_resets(before: Policy, after: Policy) -> tuple[str, ...]:
    """Return one line for the log for each kind of count that restarts from 0 under the policy `after`."""
    old, new = ({slo.name: slo for slo in policy.slos} for policy in (before, after))
    changed = sorted(name for name in old.keys() & new.keys() if _terms(old[name]) != _terms(new[name]))
    lines = [f"slo {name}: its thresholds or conventions changed, so its counts restart from 0" for name in changed]
    if _slo_edges(before.slos) != _slo_edges(after.slos):
        lines.append("latency histograms from records: those whose edges changed with the thresholds restart from 0")
    if None not in (before.tariff, after.tariff) and _currency(before.tariff) != _currency(after.tariff):
        lines.append("cost: the currency changed, so its counts restart from 0")
    if None not in (before.price_list, after.price_list) and _revenue_currency(before) != _revenue_currency(after):
        lines.append("revenue: the currency changed, so its counts restart from 0")
    return tuple(lines)


def apply_policy(state: State, before: Policy, after: Policy) -> State:
    """Return the state for a tick under the policy `after`, where the last tick was under `before`.

    SLOs with the same terms keep their evidence and totals. For the others, evidence starts at each server's last page,
    with the requests in flight there; totals from records start at 0, and so do latency histograms with new edges.
    Cost and revenue restart with another currency, carbon when it is switched off. New token prices apply to tokens
    counted from now on.
    """
    if before.slos != after.slos:
        state = _change_slos(state, before.slos, after.slos)
    if _currency(before.tariff) != _currency(after.tariff):
        state = _restart_window(state, replace(state.ledger, cost={}, unattributed_cost={}, closed_cost={}))
    if before.price_list != after.price_list:
        ledger = mark_counted_as_sold(state.ledger)
        same = _revenue_currency(before) == _revenue_currency(after)
        state = replace(state, ledger=ledger if same else replace(ledger, revenue={}))
    if after.carbon is None and before.carbon is not None:
        without = replace(state.ledger, carbon_grams={}, unattributed_carbon_grams=None, closed_carbon_grams=None)
        state = replace(state, ledger=without)
    return state


def _terms(slo: Slo) -> tuple[object, ...]:
    """What decides whether a request is good. Counts under different terms must not be added."""
    return slo.thresholds, slo.one_token_outputs, slo.errors, slo.cancelled


def _slo_edges(slos: Collection[Slo]) -> set[tuple[object, ...]]:
    """Thresholds that are bucket edges only because of an SLO, with the patterns of the accounts they apply to."""
    named = ((slo, threshold) for slo in slos for threshold in slo.thresholds)
    return {(s.servers, s.models, t) for s, t in named if t.seconds not in DEFAULT_EDGES[t.signal]}


def _currency(tariff: Tariff | None) -> str | None:
    return None if tariff is None else tariff.currency


def _revenue_currency(policy: Policy) -> str | None:
    return None if policy.price_list is None else policy.price_list.currency


def _restart_window(state: State, ledger: Ledger) -> State:
    marks = () if state.at_seconds is None else (Mark(state.at_seconds, ledger, state.first_tokens),)
    return replace(state, ledger=ledger, marks=marks)


def _change_slos(state: State, before: Collection[Slo], after: Collection[Slo]) -> State:
    terms = {slo.name: _terms(slo) for slo in before}
    same = {slo.name: slo for slo in after if terms.get(slo.name) == _terms(slo)}
    ledger = state.ledger
    evidence = _still_applying(ledger.evidence, same)
    new = tuple(_new_evidence(state, after, evidence))
    unseen = {key: unseen_first_tokens(_not_judged(state, key.account, page)) for key, _, page in new}
    state = replace(state, first_tokens={**_still_applying(state.first_tokens, same), **unseen})
    latencies = {key: h for key, h in ledger.latencies.items() if h.edges == histogram_edges(*key, after)}
    ledger = replace(
        ledger,
        evidence={**evidence, **{key: empty_evidence(slo) for key, slo, _ in new}},
        slos=_still_applying(ledger.slos, same),
        exact=_still_applying(ledger.exact, same),
        latencies=latencies,
    )
    return _restart_window(state, open_exact_totals(ledger, state.records_since, tuple(after)))


def _not_judged(state: State, account: Account, page: EngineReading) -> float:
    """Bound the requests past their first token whose end is still to be judged, those on held pages included."""
    pair, held = state.pairs.get(account.model), state.torn_pages.get(account.server)
    if pair is not None and pair.account == account:
        return pair.in_flight
    ended = 0.0 if held is None else finished_requests(account, held).succeeded
    return in_flight(account, page) + ended


def _still_applying(entries: Mapping[SloKey, _Value], same: Mapping[str, Slo]) -> dict[SloKey, _Value]:
    return {key: value for key, value in entries.items() if key.slo in same and applies(same[key.slo], *key.account)}


def _new_evidence(
    state: State, slos: Collection[Slo], known: Collection[SloKey]
) -> Iterator[tuple[SloKey, Slo, EngineReading]]:
    """SLOs that are new to an account, with its server's last page: their evidence starts there."""
    for account in state.since:
        page = state.engines.get(account.server)
        for slo in slos if page is not None else ():
            key = SloKey(account, slo.name)
            if key not in known and applies(slo, *account):
                assert page is not None
                yield key, slo, page
