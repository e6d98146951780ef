"""The fold: one tick of readings into the ledger, and the picture of it that is published. This is the product."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from goodwatt.derive import page_growth, revenue
from goodwatt.derive.counters import plus
from goodwatt.derive.energy import charge
from goodwatt.derive.energy.attribution import Activity
from goodwatt.derive.energy.gpu_sources import merged_gpus, take_gpu_readings
from goodwatt.derive.energy.meters import advance, carriers, energy_increase
from goodwatt.derive.retention import crowded
from goodwatt.derive.slo import bounds, histogram_evidence
from goodwatt.derive.slo import records as requests
from goodwatt.derive.slo.record_filter import admission
from goodwatt.derive.source_state import fold, is_fresh
from goodwatt.derive.state import Mark, State
from goodwatt.derive.window.rates import longest_window_seconds, marked, trim
from goodwatt.derive.window.window import Windows
from goodwatt.model.engine import EngineReading
from goodwatt.model.gpu import GpusReading
from goodwatt.model.ledger import Ledger, SloTotals
from goodwatt.model.policy import Policy
from goodwatt.model.request import Dropped, RequestsReading
from goodwatt.model.snapshot import Snapshot, SourceState
from goodwatt.model.source import Reading, SourceId, SourceResult, Unavailable, server_source


def step(
    state: State,
    results: Sequence[SourceResult],
    policy: Policy,
    now: float,
    *,
    unix: float,
    tick_seconds: float | None = None,
) -> tuple[State, Snapshot]:
    """Fold one tick. `now` is monotonic seconds and not before the previous tick, `unix` is wall-clock seconds.

    Sources that are absent from `results` are forgotten; what was counted of them stays in the ledger.
    """
    before = state.sources
    sources = {r.source: fold(before.get(r.source), r, now) for r in results}
    state = replace(state, sources=sources)
    for result in results:
        page = _page(result.outcome)
        if page is not None:
            back = not is_fresh(before, server_source(page.server), policy.missed_ticks_until_dropped)
            state = _take_page(state, page, policy, now, back)
    state = _take_records(state, results, policy, now, before)
    state = _take_gpus(state, results, policy, now)
    state = _turn_window(state, policy, now)
    longest = longest_window_seconds(state.engines.values(), policy)
    marks = trim(state.marks, now, longest)
    state = replace(state, marks=marks, at_seconds=now, ticks=state.ticks + 1)
    snapshot = _picture(state, policy, now, unix, tick_seconds)
    return replace(state, marks=marked(marks, Mark(now, state.ledger), longest)), snapshot


def _page(outcome: Reading | Unavailable) -> EngineReading | None:
    """A server's own page, or what the proxy in front of it brings in its place."""
    if isinstance(outcome, RequestsReading):
        return outcome.page
    return outcome if isinstance(outcome, EngineReading) else None


def _take_page(state: State, reading: EngineReading, policy: Policy, now: float, back: bool) -> State:
    """One page. Of a server that is `back` after its series were dropped, live figures begin anew: the tokens of the
    hole are counted now, its joules went to nobody, and a ratio over both would be wrong.
    """
    grown = page_growth.growth(state.engines.get(reading.server), reading)
    new = {account: now for account in grown.accounts if back or account not in state.since}
    state = replace(
        state,
        engines={**state.engines, reading.server: reading},
        activities={**state.activities, reading.server: page_growth.activities(grown, reading)},
        ledger=_counted(state.ledger, reading, grown, policy),
        since={**state.since, **new},
    )
    return crowded(state, reading.server, grown.accounts)


def _counted(ledger: Ledger, reading: EngineReading, grown: page_growth.Growth, policy: Policy) -> Ledger:
    ledger = histogram_evidence.post(page_growth.post(ledger, reading, grown), reading, grown, policy.slos)
    return ledger if policy.price_list is None else revenue.post(ledger, grown.accounts, policy.price_list)


def _take_records(
    state: State, results: Sequence[SourceResult], policy: Policy, now: float, before: Mapping[SourceId, SourceState]
) -> State:
    """Records of one tick. Accounts on the pages of a server whose requests somebody tells of begin at 0.

    Where the teller is new, or `back` as a page may be, live figures begin anew.
    """
    found, missed = admission(state, results), policy.missed_ticks_until_dropped
    back = {server for server, source in found.record_sources.items() if not is_fresh(before, source, missed)}
    back |= found.record_sources.keys() - state.record_sources.keys()
    records_since = {
        account: now if account.server in back else since for account, since in state.records_since.items()
    }
    paged = (account for account in state.since if account.server in found.record_sources)
    new = [a for a in dict.fromkeys((*paged, *(one.account for one in found.admitted))) if a not in records_since]
    ledger = requests.opened(state.ledger, new, policy.slos)
    return replace(
        state,
        sources=_with_dropped(state.sources, found.dropped),
        ledger=requests.post(ledger, found.admitted, policy.slos),
        record_sources=found.record_sources,
        records_since={**records_since, **dict.fromkeys(new, now)},
    )


def _with_dropped(
    sources: Mapping[SourceId, SourceState], dropped: Mapping[tuple[SourceId, Dropped], int]
) -> Mapping[SourceId, SourceState]:
    counted = dict(sources)
    for (source, why), records in dropped.items():
        counted[source] = replace(counted[source], dropped=plus(counted[source].dropped, {why: records}))
    return counted


def _take_gpus(state: State, results: Sequence[SourceResult], policy: Policy, now: float) -> State:
    gpus, owners = take_gpu_readings(state.gpus, state.gpu_owners, results)
    known = merged_gpus(gpus.values())
    if known is None:
        return state
    seconds = 0.0 if state.at_seconds is None else now - state.at_seconds
    sources = (r.source for r in results if isinstance(r.outcome, GpusReading))
    read = {g.gpu.uuid: g for source in sources for g in gpus[source].gpus}
    usages = _usages(state, read, known, policy, seconds)
    return replace(
        state,
        gpus=gpus,
        gpu_owners=owners,
        meters=advance(state.meters, read.values()),
        ledger=charge.post(state.ledger, usages, policy),
    )


def _usages(
    state: State, read: Container[str], known: GpusReading, policy: Policy, seconds: float
) -> tuple[charge.Usage, ...]:
    """Every known GPU in this interval. One that cannot be read is still there, and still paid for."""
    active = _active(state, policy)
    all_gpus = tuple(g.gpu for g in known.gpus)
    covers = carriers(known.gpus, state.meters)
    usages = []
    for g in known.gpus:
        covered = tuple(other.gpu for other in covers.get(g.gpu.uuid, ()))
        grown = energy_increase(state.meters.get(g.gpu.uuid), g) if g.gpu.uuid in read and covered else None
        own, metered = (charge.claims(gpus, active, policy, all_gpus) for gpus in ((g.gpu,), covered))
        usages.append(charge.Usage(g.gpu.uuid, seconds, grown, own, metered))
    return tuple(usages)


def _active(state: State, policy: Policy) -> dict[str, tuple[Activity, ...]]:
    """Servers that claim GPUs: a server that missed a tick or two keeps the share that it had at its last page."""
    return {
        server: done
        for server, done in state.activities.items()
        if is_fresh(state.sources, server_source(server), policy.missed_ticks_until_dropped)
    }


def _turn_window(state: State, policy: Policy, now: float) -> State:
    """Close the SLO window when it is full. Evidence that is new in a window starts in it from nothing.

    Totals of an SLO exist from the moment that every signal it needs was seen; they move when a window closes.
    """
    slos = {slo.name: slo for slo in policy.slos}
    seen = state.ledger.evidence
    opened = now if state.window_opened_seconds is None else state.window_opened_seconds
    begun = {key: state.window_evidence.get(key) or histogram_evidence.blank(slos[key.slo]) for key in seen}
    closes = now - opened >= policy.window_seconds
    totals = dict(state.ledger.slos)
    for key in seen:
        if histogram_evidence.is_complete(state.ledger, slos[key.slo], key.account):
            window = bounds.totals(slos[key.slo], bounds.since(begun[key], seen[key])) if closes else SloTotals()
            totals[key] = bounds.add(totals.get(key, SloTotals()), window)
    return replace(
        state,
        ledger=replace(state.ledger, slos=totals),
        window_opened_seconds=now if closes else opened,
        window_evidence=seen if closes else begun,
    )


def _picture(state: State, policy: Policy, now: float, unix: float, tick_seconds: float | None) -> Snapshot:
    def fresh(source: SourceId) -> bool:
        return is_fresh(state.sources, source, policy.missed_ticks_until_dropped)

    servers = {name: page for name, page in state.engines.items() if fresh(server_source(name))}
    fresh_gpus = {source: reading for source, reading in state.gpus.items() if fresh(source)}
    gpus = merged_gpus(fresh_gpus.values())
    record_sources = {server: source for server, source in state.record_sources.items() if fresh(source)}
    windows = Windows(state, policy, now, with_energy=gpus is not None and len(fresh_gpus) == len(state.gpus))
    return Snapshot(
        at_seconds=now,
        unix_seconds=unix,
        policy=policy,
        sources=tuple(state.sources.values()),
        gpus=gpus,
        gpu_sources=frozenset(fresh_gpus),
        servers=servers,
        ledger=state.ledger,
        live=windows.accounts(servers),
        slo_live=windows.slos(servers),
        exact_live=windows.records(servers, record_sources),
        record_sources=record_sources,
        tick_seconds=tick_seconds,
        ticks=state.ticks,
    )
