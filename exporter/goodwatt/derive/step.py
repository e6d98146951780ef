"""The fold: one tick of readings in, the next state and the snapshot to publish out. This is the product."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from goodwatt.derive.counters import add_counts
from goodwatt.derive.energy.attribution import Activity
from goodwatt.derive.energy.charge import GpuInterval, charge_interval, claims_on
from goodwatt.derive.energy.gpu_sources import merged_gpus, take_gpu_readings
from goodwatt.derive.energy.meters import energy_increase, gpus_by_meter, update_meters
from goodwatt.derive.page_growth import PageGrowth, add_page, measure_pages, page_activities, total_growth
from goodwatt.derive.progress import stalled_seconds, update_progress
from goodwatt.derive.retention import cap_accounts
from goodwatt.derive.revenue import add_revenue
from goodwatt.derive.roles import own_share
from goodwatt.derive.slo.histogram_evidence import add_evidence
from goodwatt.derive.slo.pairs import PairEvidence, add_pair_evidence
from goodwatt.derive.slo.record_filter import select_records
from goodwatt.derive.slo.records import add_records, open_exact_totals
from goodwatt.derive.slo.tick_margin import learn_margins
from goodwatt.derive.slo.torn_pages import join_torn
from goodwatt.derive.source_state import is_fresh, update_source_state
from goodwatt.derive.state import Mark, State
from goodwatt.derive.window.rates import add_mark, longest_window_seconds, trim_marks
from goodwatt.derive.window.window import LiveWindows
from goodwatt.model.engine import EngineReading, Role
from goodwatt.model.gpu import GpusReading
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
    """Fold one tick. `now` is monotonic seconds, never before the previous tick; `unix` is wall-clock seconds.

    Sources that are absent from `results` lose their state; their counts stay in the ledger.
    """
    before = state.sources
    sources = {r.source: update_source_state(before.get(r.source), r, now) for r in results}
    state = replace(state, sources=sources)
    halves: list[PageGrowth] = []
    for result in results:
        page = _page(result.outcome)
        if page is not None:
            recovered = not is_fresh(before, server_source(page.server), policy.missed_ticks_until_dropped)
            state, growth = _take_page(state, page, policy, now, recovered)
            halves += [growth] if page.role is not Role.ANY else []
    state = _take_pairs(state, halves, policy)
    state = _take_records(state, results, policy, now, before)
    state = _take_gpus(state, results, policy, now)
    longest = longest_window_seconds(state.engines.values(), policy)
    marks = trim_marks(state.marks, now, longest)
    state = replace(state, marks=marks, at_seconds=now, ticks=state.ticks + 1)
    snapshot = _snapshot(state, policy, now, unix, tick_seconds)
    return replace(state, marks=add_mark(marks, Mark(now, state.ledger, state.first_tokens), longest)), snapshot


def _page(outcome: Reading | Unavailable) -> EngineReading | None:
    """A server's own page, or the one that a proxy counts in its place."""
    if isinstance(outcome, RequestsReading):
        return outcome.page
    return outcome if isinstance(outcome, EngineReading) else None


def _take_page(
    state: State, reading: EngineReading, policy: Policy, now: float, recovered: bool
) -> tuple[State, PageGrowth]:
    """Add a server's page, with those read since the last tick before it. Also returns what it adds by its role.

    Restart the live window of a server that recovered after its series were dropped: the tokens of its outage are
    counted now, but its energy meanwhile was unattributed, and a ratio over both would be wrong.
    """
    pages = measure_pages(state.engines.get(reading.server), reading)
    growth = total_growth(pages)
    share = own_share(growth)
    new = {account: now for account in growth.accounts if recovered or account not in state.since}
    state = replace(
        _add_growth(state, pages, share, policy),
        engines={**state.engines, reading.server: growth.reading},
        activities={**state.activities, reading.server: page_activities(growth)},
        since={**state.since, **new},
        progressed=update_progress(state.progressed, growth, now),
    )
    return cap_accounts(state, reading.server, growth.accounts), share


def _take_pairs(state: State, halves: Sequence[PageGrowth], policy: Policy) -> State:
    if not halves:
        return state
    before = PairEvidence(ledger=state.ledger, waiting=state.first_tokens, pairs=state.pairs)
    after = add_pair_evidence(before, halves, policy.slos)
    return replace(state, ledger=after.ledger, first_tokens=after.waiting, pairs=after.pairs)


def _add_growth(state: State, pages: Sequence[PageGrowth], growth: PageGrowth, policy: Policy) -> State:
    """Add a tick's growth at once, but its evidence page by page: the less a page covers, the more it proves."""
    ledger = add_page(state.ledger, growth)
    halves = growth.reading.role is not Role.ANY  # whose evidence waits for the other half
    judged, torn = join_torn(state.torn_pages.get(growth.reading.server), () if halves else pages)
    learned = learn_margins(state.tick_margins, judged)
    margins = {account: learned[account].seconds for account in growth.accounts if account in learned}
    ledger, first_tokens = add_evidence(ledger, state.first_tokens, judged, policy.slos, margins)
    held = {server: page for server, page in state.torn_pages.items() if server != growth.reading.server}
    held |= {} if torn is None else {growth.reading.server: torn}
    if policy.price_list is not None:
        ledger = add_revenue(ledger, growth.accounts, policy.price_list)
    return replace(state, ledger=ledger, first_tokens=first_tokens, tick_margins=learned, torn_pages=held)


def _take_records(
    state: State, results: Sequence[SourceResult], policy: Policy, now: float, before: Mapping[SourceId, SourceState]
) -> State:
    """Add one tick's records. Accounts on the page of a server that has a record source start at 0 without records.

    The live window restarts where the record source is new, or recovered as a page may.
    """
    selected, missed = select_records(state, results), policy.missed_ticks_until_dropped
    new_source = {server for server, source in selected.record_sources.items() if not is_fresh(before, source, missed)}
    new_source |= selected.record_sources.keys() - state.record_sources.keys()
    records_since = {
        account: now if account.server in new_source else since for account, since in state.records_since.items()
    }
    on_pages = (account for account in state.since if account.server in selected.record_sources)
    accounts = dict.fromkeys((*on_pages, *(counted.account for counted in selected.counted)))
    new = [account for account in accounts if account not in records_since]
    ledger = open_exact_totals(state.ledger, new, policy.slos)
    return replace(
        state,
        sources=_with_dropped(state.sources, selected.dropped),
        ledger=add_records(ledger, selected.counted, policy.slos),
        record_sources=selected.record_sources,
        records_since={**records_since, **dict.fromkeys(new, now)},
    )


def _with_dropped(
    sources: Mapping[SourceId, SourceState], dropped: Mapping[tuple[SourceId, Dropped], int]
) -> Mapping[SourceId, SourceState]:
    counted = dict(sources)
    for (source, reason), records in dropped.items():
        counted[source] = replace(counted[source], dropped=add_counts(counted[source].dropped, {reason: records}))
    return counted


def _take_gpus(state: State, results: Sequence[SourceResult], policy: Policy, now: float) -> State:
    gpus, owners = take_gpu_readings(state.gpus, state.gpu_owners, results)
    known = merged_gpus(gpus.values())
    if known is None:
        return state
    seconds = 0.0 if state.at_seconds is None else now - state.at_seconds
    sources = (r.source for r in results if isinstance(r.outcome, GpusReading))
    read = {g.gpu.uuid: g for source in sources for g in gpus[source].gpus}
    intervals = _gpu_intervals(state, read, known, policy, seconds)
    return replace(
        state,
        gpus=gpus,
        gpu_owners=owners,
        meters=update_meters(state.meters, read.values()),
        ledger=charge_interval(state.ledger, intervals, policy),
    )


def _gpu_intervals(
    state: State, read: Container[str], known: GpusReading, policy: Policy, seconds: float
) -> tuple[GpuInterval, ...]:
    """Every known GPU over this interval. One that cannot be read is still present, and its time is still paid for."""
    active = _active_servers(state, policy)
    all_gpus = tuple(g.gpu for g in known.gpus)
    groups = gpus_by_meter(known.gpus, state.meters)
    intervals = []
    for g in known.gpus:
        uuid = g.gpu.uuid
        metered = tuple(other.gpu for other in groups.get(uuid, ()))
        energy = energy_increase(state.meters.get(uuid), g) if uuid in read and metered else None
        claims, meter_claims = (claims_on(gpus, active, policy, all_gpus) for gpus in ((g.gpu,), metered))
        intervals.append(
            GpuInterval(uuid=uuid, seconds=seconds, energy=energy, claims=claims, meter_claims=meter_claims)
        )
    return tuple(intervals)


def _active_servers(state: State, policy: Policy) -> dict[str, tuple[Activity, ...]]:
    """Servers that claim GPUs. One that missed a tick or two keeps the share it had at its last page."""
    return {
        server: activities
        for server, activities in state.activities.items()
        if is_fresh(state.sources, server_source(server), policy.missed_ticks_until_dropped)
    }


def _snapshot(state: State, policy: Policy, now: float, unix: float, tick_seconds: float | None) -> Snapshot:
    def fresh(source: SourceId) -> bool:
        return is_fresh(state.sources, source, policy.missed_ticks_until_dropped)

    servers = {name: page for name, page in state.engines.items() if fresh(server_source(name))}
    fresh_gpus = {source: reading for source, reading in state.gpus.items() if fresh(source)}
    gpus = merged_gpus(fresh_gpus.values())
    record_sources = {server: source for server, source in state.record_sources.items() if fresh(source)}
    with_energy = gpus is not None and len(fresh_gpus) == len(state.gpus)
    windows = LiveWindows(state=state, policy=policy, now=now, with_energy=with_energy)
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
        slo_in_flight={key: tokens for key, tokens in state.first_tokens.items() if key in state.ledger.slos},
        tick_margins={account: margin.seconds for account, margin in state.tick_margins.items()},
        exact_live=windows.records(servers, record_sources),
        record_sources=record_sources,
        stalled_seconds=stalled_seconds(state.progressed, servers, now),
        tick_seconds=tick_seconds,
        ticks=state.ticks,
    )
