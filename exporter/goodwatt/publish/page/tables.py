"""The tables of the page: servers and models, GPUs, SLOs, sources."""

from collections.abc import Iterator

from goodwatt.derive.window import figures
from goodwatt.model.engine import Signal
from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.slo import Slo
from goodwatt.model.snapshot import Live, Snapshot, SourceState
from goodwatt.publish.metrics.goodwatt import age_seconds
from goodwatt.publish.metrics.live import live_accounts
from goodwatt.publish.page.headline import headline, no_gpu, window_in_words
from goodwatt.publish.page.html import Node, el
from goodwatt.publish.page.numbers import ago, percent, short
from goodwatt.publish.page.slo_summary import Attainment, in_window, since_start, slo_keys
from goodwatt.publish.page.sparkline import band, bar
from goodwatt.publish.page.table import Cell, Column, cell, known_or, number_column, section_with_table

_NOT_REPORTED = "the engine does not report it"


def accounts(snapshot: Snapshot) -> Node | None:
    """List every served model with its rates over the window; None without any."""
    tariff = snapshot.policy.tariff
    money = f"{tariff.currency} per million tokens" if tariff else "Cost per million tokens"
    columns = (
        Column("Model"),
        Column("Server"),
        *(number_column(heading) for heading in ("Tokens/s", "Power", "J/token", money, "Idle", "Running", "Waiting")),
    )
    window = f"Generated tokens over {window_in_words(snapshot)}. Energy and cost include idle time."
    rows = (_account(snapshot, account, live) for account, live in live_accounts(snapshot))
    return section_with_table("models", "Servers and models", window, columns, rows)


def _account(snapshot: Snapshot, account: Account, live: Live) -> tuple[Cell, ...]:
    page = snapshot.servers[account.server]
    of_tokens, of_cost, _ = headline(snapshot, account, live)
    each = figures.joules_per_token(live.tokens.generated, live.watts)
    running, waiting = (page.gauges.get((signal, account.model)) for signal in _QUEUE)
    return (
        cell(account.model or account.server),
        cell(account.server, " ", el("small", " ".join(filter(None, (page.engine, page.engine_version))))),
        _number(live.tokens.generated, "", "the engine does not count generated tokens"),
        _number(live.watts, " W", _no_energy(snapshot)),
        _number(each, "", of_tokens.note),
        known_or(of_cost.value, of_cost.note),
        _idle(snapshot, live),
        _number(running, "", _NOT_REPORTED),
        _number(waiting, "", _NOT_REPORTED),
    )


_QUEUE = Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING


def _idle(snapshot: Snapshot, live: Live) -> Cell:
    busy = figures.ratio(live.busy_watts, live.watts)
    idle = None if busy is None else max(1 - busy, 0.0)
    why = _no_energy(snapshot) if live.watts is None else "no energy was used"
    return known_or(None if idle is None else percent(idle, idle), why)


def _no_energy(snapshot: Snapshot) -> str:
    return no_gpu(snapshot) or "no energy was counted for it"


def _number(value: float | None, unit: str, why: str) -> Cell:
    return known_or(None if value is None else short(value) + unit, why)


def gpus(snapshot: Snapshot) -> Node | None:
    """List every GPU with its latest reading; None without any."""
    columns = (
        Column("GPU"),
        Column("Product"),
        *(number_column(heading) for heading in ("Power", "Utilization", "Memory", "Temperature")),
        *(Column(heading) for heading in ("Throttled by", "Energy", "State")),
    )
    rows = map(_gpu, snapshot.gpus.gpus if snapshot.gpus else ())
    return section_with_table("gpus", "GPUs", "As last reported by the driver.", columns, rows)


def missing(snapshot: Snapshot) -> Node | None:
    """List what could not be read from which GPU, as the source reported it; None if all was."""
    rows = ((cell(note),) for note in (snapshot.gpus.notes if snapshot.gpus else ()))
    return section_with_table(
        "missing", "Missing on GPUs", "What the driver could not provide, and why.", (Column("What"),), rows
    )


def _gpu(reading: GpuReading) -> tuple[Cell, ...]:
    lost = reading.state is not GpuState.OK
    why = "the GPU cannot be reached" if lost else "the driver does not report it"
    ratio, celsius, energy = reading.utilization_ratio, reading.temperature_celsius, reading.energy
    return (
        cell(str(reading.gpu.index)),
        cell(reading.gpu.product),
        _power(reading, why),
        Cell(why=why) if ratio is None else cell(percent(ratio, ratio), bar(ratio)),
        _memory(reading, why),
        known_or(None if celsius is None else f"{short(celsius)} °C", why),
        _throttled(reading, why),
        known_or(None if energy is None else energy.method.value, why),
        cell(reading.state.value, css="down" if lost else "up"),
    )


def _power(reading: GpuReading, why: str) -> Cell:
    watts, limit = reading.power_watts, reading.power_limit_watts
    if watts is None:
        return Cell(why=why)
    return cell(f"{short(watts)} of {short(limit)} W", bar(watts / limit)) if limit else cell(f"{short(watts)} W")


def _memory(reading: GpuReading, why: str) -> Cell:
    used, whole = reading.memory_used_bytes, reading.memory_total_bytes
    if used is None or not whole:
        return Cell(why=why)
    return cell(f"{short(used / 2**30)} of {short(whole / 2**30)} GiB", bar(used / whole))


def _throttled(reading: GpuReading, why: str) -> Cell:
    if reading.throttled is None:
        return Cell(why=why)
    active = [reason.replace("_", " ") for reason, throttles in reading.throttled.items() if throttles]
    return cell(", ".join(active), css="mark wrap") if active else cell("nothing")


def slos(snapshot: Snapshot) -> Node | None:
    """List every SLO of every model, with the share of good requests as a band between its bounds; None without any."""
    columns = (
        Column("SLO"),
        Column("Model"),
        Column("Server"),
        number_column("Target"),
        Column("Good over the window", "share"),
        Column("Met"),
        number_column("Good since start"),
    )
    configured = {slo.name: slo for slo in snapshot.policy.slos}
    caption = "The band spans the lower to the upper bound of the share of good requests; the mark is the target."
    return section_with_table("slos", "SLOs", caption, columns, _slos(snapshot, configured))


def _slos(snapshot: Snapshot, configured: dict[str, Slo]) -> Iterator[tuple[Cell, ...]]:
    for key in slo_keys(snapshot):
        slo, now = configured[key.slo], in_window(snapshot, key)
        yield (
            cell(key.slo, " ", el("small", _thresholds(slo))),
            cell(key.account.model or key.account.server),
            cell(key.account.server),
            cell(percent(slo.objective, slo.objective)),
            *_attainment(now, slo.objective),
            _since_start(snapshot, key),
        )


def _thresholds(slo: Slo) -> str:
    limits = ", ".join(f"{one.signal.value} {short(one.seconds)}\N{NO-BREAK SPACE}s" for one in slo.thresholds)
    return f"{limits}; no SLO is configured" if slo.is_default else limits


def _attainment(now: Attainment | None, target: float) -> tuple[Cell, Cell]:
    if now is None or not now.eligible:
        why = "no complete window yet" if now is None else "no request finished in the window"
        return Cell(why=why), Cell(why=why)
    low, high = now.lower / now.eligible, now.upper / now.eligible
    word, css = _verdict(low, high, target)
    return cell(_share(now), band(low, high, target, css)), cell(word, css=css)


def _verdict(low: float, high: float, target: float) -> tuple[str, str]:
    if low >= target:
        return "yes", "up"
    return ("no", "down") if high < target else ("unknown", "mark")


def _since_start(snapshot: Snapshot, key: SloKey) -> Cell:
    totals = since_start(snapshot, key)
    return cell(_share(totals)) if totals.eligible else Cell(why="no request finished yet")


def _share(attainment: Attainment) -> str:
    low, high = attainment.lower / attainment.eligible, attainment.upper / attainment.eligible
    return f"{percent(low, high)} of {short(attainment.eligible)}"


def sources(snapshot: Snapshot) -> Node | None:
    """List every source with its state and, if it is down, the reason and what to do."""
    columns = (Column("Source"), Column("State"), Column("Last read"), Column("Reason, and what to do"))
    rows = (_source(snapshot, state) for state in snapshot.sources)
    return section_with_table("sources", "Sources", "Read on every tick.", columns, rows)


def _source(snapshot: Snapshot, state: SourceState) -> tuple[Cell, ...]:
    age, word = age_seconds(snapshot, state), "up" if state.up else "down"
    why = "" if state.reason is None else f"{state.reason.value}: {state.detail}"
    return (
        cell(state.source.label),
        cell(word, css=word),
        cell("never" if age is None else ago(age)),
        cell(why, css="wrap"),
    )
