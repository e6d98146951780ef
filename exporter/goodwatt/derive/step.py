"""The fold: one tick of readings into the ledger, and the picture of it that is published. This is the product."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from goodwatt.derive import page_growth, revenue
from goodwatt.derive.counters import plus
from goodwatt.derive.energy import charge
from goodwatt.derive.energy.attribution import Activity
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
from goodwatt.model.policy import Rules
from goodwatt.model.request import RequestsReading, Shed
from goodwatt.model.snapshot import Snapshot, SourceState
from goodwatt.model.source import GPU_SOURCE, Reading, SourceResult, Unavailable, server_source


def step(
    state: State,
    results: Sequence[SourceResult],
    rules: Rules,
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
            back = not is_fresh(before, server_source(page.server), rules.missed_ticks_until_dropped)
            state = _take_page(state, page, rules, now, back)
    state = _take_records(state, results, rules, now, before)
    state = _take_gpus(state, results, rules, now)
    state = _turn_window(state, rules, now)
    longest = longest_window_seconds(state.engines.values(), rules)
    marks = trim(state.marks, now, longest)
    state = replace(state, marks=marks, at_seconds=now, ticks=state.ticks + 1)
    snapshot = _picture(state, rules, now, unix, tick_seconds)
    return replace(state, marks=marked(marks, Mark(now, state.ledger), longest)), snapshot


def _page(outcome: Reading | Unavailable) -> EngineReading | None:
    """A server's own page, or what the proxy in front of it brings in its place."""
    if isinstance(outcome, RequestsReading):
        return outcome.page
    return outcome if isinstance(outcome, EngineReading) else None


def _take_page(state: State, reading: EngineReading, rules: Rules, now: float, back: bool) -> State:
    """One page. Of a server that is `back` after its series were dropped, live figures begin anew: the tokens of the
    hole are counted now, its joules went to nobody, and a ratio over both would be wrong.
    """
    grown = page_growth.growth(state.engines.get(reading.server), reading)
    new = {account: now for account in grown.accounts if back or account not in state.since}
    state = replace(
        state,
        engines={**state.engines, reading.server: reading},
        activities={**state.activities, reading.server: page_growth.activities(grown, reading)},
        ledger=_counted(state.ledger, reading, grown, rules),
        since={**state.since, **new},
    )
    return crowded(state, reading.server, grown.accounts)


def _counted(ledger: Ledger, reading: EngineReading, grown: page_growth.Growth, rules: Rules) -> Ledger:
    ledger = histogram_evidence.post(page_growth.post(ledger, reading, grown), reading, grown, rules.slos)
    return ledger if rules.price_list is None else revenue.post(ledger, grown.accounts, rules.price_list)


def _take_records(
    state: State, results: Sequence[SourceResult], rules: Rules, now: float, before: Mapping[str, SourceState]
) -> State:
    """Records of one tick. Accounts on the pages of a server whose requests somebody tells of begin at 0.

    Where the teller is new, or `back` as a page may be, live figures begin anew.
    """
    found, missed = admission(state, results), rules.missed_ticks_until_dropped
    back = {server for server, source in found.tellers.items() if not is_fresh(before, source, missed)}
    back |= found.tellers.keys() - state.tellers.keys()
    told = {account: now if account.server in back else since for account, since in state.told.items()}
    paged = (account for account in state.since if account.server in found.tellers)
    new = [a for a in dict.fromkeys((*paged, *(one.account for one in found.admitted))) if a not in told]
    ledger = requests.opened(state.ledger, new, rules.slos)
    return replace(
        state,
        sources=_shedding(state.sources, found.shed),
        ledger=requests.post(ledger, found.admitted, rules.slos),
        tellers=found.tellers,
        told={**told, **dict.fromkeys(new, now)},
    )


def _shedding(sources: Mapping[str, SourceState], shed: Mapping[tuple[str, Shed], int]) -> Mapping[str, SourceState]:
    counted = dict(sources)
    for (source, why), records in shed.items():
        counted[source] = replace(counted[source], shed=plus(counted[source].shed, {why: records}))
    return counted


def _take_gpus(state: State, results: Sequence[SourceResult], rules: Rules, now: float) -> State:
    read = next((r.outcome for r in results if isinstance(r.outcome, GpusReading)), None)
    known = read or state.gpus
    if known is None:
        return state
    seconds = 0.0 if state.at_seconds is None else now - state.at_seconds
    usages = _usages(state, read, known, rules, seconds)
    return replace(
        state,
        gpus=known,
        meters=state.meters if read is None else advance(state.meters, read.gpus),
        ledger=charge.post(state.ledger, usages, rules),
    )


def _usages(
    state: State, read: GpusReading | None, known: GpusReading, rules: Rules, seconds: float
) -> tuple[charge.Usage, ...]:
    """Every known GPU in this interval. One that cannot be read is still there, and still paid for."""
    active = _active(state, rules)
    all_gpus = tuple(g.gpu for g in known.gpus)
    covers = carriers(known.gpus, state.meters)
    usages = []
    for g in known.gpus:
        covered = tuple(other.gpu for other in covers.get(g.gpu.uuid, ()))
        grown = energy_increase(state.meters.get(g.gpu.uuid), g) if read is not None and covered else None
        own, metered = (charge.claims(gpus, active, rules, all_gpus) for gpus in ((g.gpu,), covered))
        usages.append(charge.Usage(g.gpu.uuid, seconds, grown, own, metered))
    return tuple(usages)


def _active(state: State, rules: Rules) -> dict[str, tuple[Activity, ...]]:
    """Servers that claim GPUs: a server that missed a tick or two keeps the share that it had at its last page."""
    return {
        server: done
        for server, done in state.activities.items()
        if is_fresh(state.sources, server_source(server), rules.missed_ticks_until_dropped)
    }


def _turn_window(state: State, rules: Rules, now: float) -> State:
    """Close the SLO window when it is full. Evidence that is new in a window starts in it from nothing.

    Totals of an SLO exist from the moment that every signal it needs was seen; they move when a window closes.
    """
    slos = {slo.name: slo for slo in rules.slos}
    seen = state.ledger.evidence
    opened = now if state.window_opened_seconds is None else state.window_opened_seconds
    begun = {key: state.window_evidence.get(key) or histogram_evidence.blank(slos[key.slo]) for key in seen}
    closes = now - opened >= rules.window_seconds
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


def _picture(state: State, rules: Rules, now: float, unix: float, tick_seconds: float | None) -> Snapshot:
    def fresh(source: str) -> bool:
        return is_fresh(state.sources, source, rules.missed_ticks_until_dropped)

    servers = {name: page for name, page in state.engines.items() if fresh(server_source(name))}
    gpus = state.gpus if fresh(GPU_SOURCE) else None
    tellers = {server: source for server, source in state.tellers.items() if fresh(source)}
    windows = Windows(state, rules, now, with_energy=gpus is not None)
    return Snapshot(
        now,
        unix,
        rules,
        tuple(state.sources.values()),
        gpus,
        servers,
        state.ledger,
        windows.accounts(servers),
        windows.slos(servers),
        windows.records(servers, tellers),
        tellers,
        tick_seconds,
        state.ticks,
    )
