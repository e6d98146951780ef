"""The tables of the page: servers and models, GPUs, objectives, sources."""

from collections.abc import Iterator

from goodwatt.derive.window import figures
from goodwatt.model.engine import Signal
from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.ledger import Account, SloKey
from goodwatt.model.slo import Slo
from goodwatt.model.snapshot import Live, Snapshot, SourceState
from goodwatt.publish.metrics.goodwatt import age_seconds
from goodwatt.publish.metrics.live import live_accounts
from goodwatt.publish.page.headline import headline, looking_back, no_gpu
from goodwatt.publish.page.html import Node, el
from goodwatt.publish.page.numbers import ago, percent, short
from goodwatt.publish.page.slo_summary import Attained, in_window, objectives, since_start
from goodwatt.publish.page.sparkline import band, bar
from goodwatt.publish.page.table import Cell, Column, cell, number, table, told

_NOT_TOLD = "the engine does not tell"


def accounts(snapshot: Snapshot) -> Node | None:
    """Every served model with its rates over the window."""
    tariff = snapshot.policy.tariff
    money = f"{tariff.currency} per million tokens" if tariff else "Cost of a million tokens"
    columns = (
        Column("Model"),
        Column("Server"),
        *(number(heading) for heading in ("Tokens/s", "Power", "J/token", money, "Idle", "Running", "Waiting")),
    )
    window = f"Over {looking_back(snapshot)}, generated tokens. Joules and money include idle time."
    rows = (_account(snapshot, account, live) for account, live in live_accounts(snapshot))
    return table("models", "Servers and models", window, columns, rows)


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
        told(of_cost.value, of_cost.note),
        _idle(snapshot, live),
        _number(running, "", _NOT_TOLD),
        _number(waiting, "", _NOT_TOLD),
    )


_QUEUE = Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING


def _idle(snapshot: Snapshot, live: Live) -> Cell:
    busy = figures.ratio(live.busy_watts, live.watts)
    idle = None if busy is None else max(1 - busy, 0.0)
    why = _no_energy(snapshot) if live.watts is None else "it used no energy"
    return told(None if idle is None else percent(idle, idle), why)


def _no_energy(snapshot: Snapshot) -> str:
    return no_gpu(snapshot) or "no energy was counted for it"


def _number(value: float | None, unit: str, why: str) -> Cell:
    return told(None if value is None else short(value) + unit, why)


def gpus(snapshot: Snapshot) -> Node | None:
    """Every GPU as it was read last."""
    columns = (
        Column("GPU"),
        Column("Product"),
        *(number(heading) for heading in ("Power", "Utilization", "Memory", "Temperature")),
        *(Column(heading) for heading in ("Held back by", "Energy", "State")),
    )
    rows = map(_gpu, snapshot.gpus.gpus if snapshot.gpus else ())
    return table("gpus", "GPUs", "As the driver told at the last read.", columns, rows)


def missing(snapshot: Snapshot) -> Node | None:
    """What is missing on which GPU, in the words of the source."""
    rows = ((cell(note),) for note in (snapshot.gpus.notes if snapshot.gpus else ()))
    return table("missing", "Missing on GPUs", "What the driver refuses, and why.", (Column("What"),), rows)


def _gpu(reading: GpuReading) -> tuple[Cell, ...]:
    lost = reading.state is not GpuState.OK
    why = "the GPU cannot be reached" if lost else "the driver does not tell"
    ratio, celsius, energy = reading.utilization_ratio, reading.temperature_celsius, reading.energy
    return (
        cell(str(reading.gpu.index)),
        cell(reading.gpu.product),
        _power(reading, why),
        Cell(why=why) if ratio is None else cell(percent(ratio, ratio), bar(ratio)),
        _memory(reading, why),
        told(None if celsius is None else f"{short(celsius)} °C", why),
        _throttled(reading, why),
        told(None if energy is None else energy.method.value, why),
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
    active = [reason.replace("_", " ") for reason, holds in reading.throttled.items() if holds]
    return cell(", ".join(active), css="mark wrap") if active else cell("nothing")


def slos(snapshot: Snapshot) -> Node | None:
    """Every objective on every model: the share of good requests as a band between its bounds."""
    columns = (
        Column("Objective"),
        Column("Model"),
        Column("Server"),
        number("Wanted"),
        Column("Good over the window", "share"),
        Column("Kept"),
        number("Good since start"),
    )
    known = {slo.name: slo for slo in snapshot.policy.slos}
    caption = "The band reaches from the lower to the upper bound of good requests; the mark is what is wanted."
    return table("slos", "Objectives", caption, columns, _slos(snapshot, known))


def _slos(snapshot: Snapshot, known: dict[str, Slo]) -> Iterator[tuple[Cell, ...]]:
    for key in objectives(snapshot):
        slo, now = known[key.slo], in_window(snapshot, key)
        yield (
            cell(key.slo, " ", el("small", _thresholds(slo))),
            cell(key.account.model or key.account.server),
            cell(key.account.server),
            cell(percent(slo.objective, slo.objective)),
            *_attained(now, slo.objective),
            _since_start(snapshot, key),
        )


def _thresholds(slo: Slo) -> str:
    return ", ".join(f"{one.signal.value} {short(one.seconds)}\N{NO-BREAK SPACE}s" for one in slo.thresholds)


def _attained(now: Attained | None, wanted: float) -> tuple[Cell, Cell]:
    if now is None or not now.eligible:
        why = "no window behind it yet" if now is None else "no request ended in the window"
        return Cell(why=why), Cell(why=why)
    low, high = now.lower / now.eligible, now.upper / now.eligible
    word, css = _verdict(low, high, wanted)
    return cell(_share(now), band(low, high, wanted, css)), cell(word, css=css)


def _verdict(low: float, high: float, wanted: float) -> tuple[str, str]:
    if low >= wanted:
        return "yes", "up"
    return ("no", "down") if high < wanted else ("cannot be told", "mark")


def _since_start(snapshot: Snapshot, key: SloKey) -> Cell:
    totals = since_start(snapshot, key)
    return cell(_share(totals)) if totals.eligible else Cell(why="counted at the end of each window")


def _share(attained: Attained) -> str:
    low, high = attained.lower / attained.eligible, attained.upper / attained.eligible
    return f"{percent(low, high)} of {short(attained.eligible)}"


def sources(snapshot: Snapshot) -> Node | None:
    """What is read, how it fares, and what to do where it does not."""
    columns = (Column("Source"), Column("State"), Column("Last read"), Column("Why, and what to do"))
    rows = (_source(snapshot, state) for state in snapshot.sources)
    return table("sources", "Sources", "What goodwatt reads, at every tick.", columns, rows)


def _source(snapshot: Snapshot, state: SourceState) -> tuple[Cell, ...]:
    age, word = age_seconds(snapshot, state), "up" if state.up else "down"
    why = "" if state.reason is None else f"{state.reason.value}: {state.detail}"
    return (
        cell(state.source.label),
        cell(word, css=word),
        cell("never" if age is None else ago(age)),
        cell(why, css="wrap"),
    )
