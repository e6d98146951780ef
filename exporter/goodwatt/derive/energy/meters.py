"""From raw energy counters to accepted joules."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from goodwatt.model.gpu import EnergyScope, GpuReading

# The driver refreshes its counter every 100 ms or so: a short interval may hold one refresh more than its length.
_REFRESH_SECONDS = 0.2
_GLITCH_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class EnergyIncrease:
    """Whole millijoules accepted for one GPU in one interval; `glitch` marks a jump that was refused."""

    millijoules: int
    glitch: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """The last reading of a GPU's energy that was believed, and a later one whose jump was refused."""

    believed: GpuReading
    refused: GpuReading | None = None


def energy_increase(meter: Meter | None, current: GpuReading) -> EnergyIncrease | None:
    """Energy since the meter's last believed reading. None: this reading has none.

    A fall is a restart from zero. A jump above twice what the power limit allows is refused and reported; if the
    next reading carries on from there, the counter has moved and only what follows is counted, and if it is back where
    it was, nothing is lost. The first reading, and the first one after the counter's method or scope changed, are
    baselines.
    """
    if current.energy is None:
        return None
    if meter is None or _kind(meter.believed) != _kind(current):
        return EnergyIncrease(0)
    if meter.refused is not None and _carries_on(meter.refused, current):
        return EnergyIncrease(_grown(meter.refused, current))
    if _is_possible(meter.believed, current):
        return EnergyIncrease(_grown(meter.believed, current))
    return EnergyIncrease(0, glitch=True)


def advanced(meter: Meter | None, current: GpuReading) -> Meter:
    """The meter after a reading that has energy."""
    increase = energy_increase(meter, current)
    if meter is None or increase is None or not increase.glitch:
        return Meter(current)
    return Meter(meter.believed, refused=current)


def _millijoules(reading: GpuReading) -> int:
    assert reading.energy is not None
    return reading.energy.millijoules


def _grown(previous: GpuReading, current: GpuReading) -> int:
    before, now = _millijoules(previous), _millijoules(current)
    return now - before if now >= before else now


def _carries_on(previous: GpuReading, current: GpuReading) -> bool:
    return _millijoules(current) >= _millijoules(previous) and _is_possible(previous, current)


def _is_possible(previous: GpuReading, current: GpuReading) -> bool:
    return _grown(previous, current) <= _ceiling_millijoules(previous, current)


def _kind(reading: GpuReading) -> tuple[object, object]:
    assert reading.energy is not None
    return reading.energy.method, reading.energy.scope


def _ceiling_millijoules(previous: GpuReading, current: GpuReading) -> float:
    limit = max(current.power_limit_watts or 0.0, previous.power_limit_watts or 0.0)
    if limit == 0.0 or _is_shared(current):
        return float("inf")  # unknown, or of one GPU while the joules are a module's
    seconds = current.at_seconds - previous.at_seconds + _REFRESH_SECONDS
    return limit * seconds * _GLITCH_FACTOR * 1000.0


def carriers(readings: Iterable[GpuReading], known: Container[str] = frozenset()) -> dict[str, tuple[GpuReading, ...]]:
    """Which readings each energy meter covers, by the UUID of the GPU that carries the meter.

    A GPU is its own meter, but GPUs of one superchip board report the board's energy each: there one of them carries
    it, so that it is counted once. It is the lowest index among those whose meter is `known`, or else of all.
    """
    boards: dict[str, str] = {}
    covered: dict[str, list[GpuReading]] = {}
    for reading in sorted(readings, key=lambda r: (r.gpu.uuid not in known, r.gpu.index)):
        uuid = boards.setdefault(_board(reading), reading.gpu.uuid)
        covered.setdefault(uuid, []).append(reading)
    return {uuid: tuple(group) for uuid, group in covered.items()}


def advance(meters: Mapping[str, Meter], readings: Iterable[GpuReading]) -> dict[str, Meter]:
    """Every meter after one more read of the GPUs, by UUID.

    A GPU that could not be read keeps its meter, unless another one of its board was: that one has carried on for the
    board, and what the absent GPU showed before must not be counted from again.
    """
    read = {r.gpu.uuid: r for r in readings if r.energy is not None}
    boards = {_board(reading) for reading in read.values()}
    kept = {uuid: meter for uuid, meter in meters.items() if _board(meter.believed) not in boards}
    return {**kept, **{uuid: advanced(meters.get(uuid), reading) for uuid, reading in read.items()}}


def _board(reading: GpuReading) -> str:
    return f"board {reading.gpu.board}" if _is_shared(reading) and reading.gpu.board else f"gpu {reading.gpu.uuid}"


def _is_shared(reading: GpuReading) -> bool:
    return reading.energy is not None and reading.energy.scope is EnergyScope.MODULE
