"""From raw energy counters to accepted joules."""

from dataclasses import dataclass

from exporter.model.gpu import EnergyScope, GpuReading

# The driver refreshes its counter every 100 ms or so: a short interval may hold one refresh more than its length.
_REFRESH_SECONDS = 0.2
_GLITCH_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class EnergyIncrease:
    """Whole millijoules accepted for one GPU in one interval; `glitch` marks a jump that was refused."""

    millijoules: int
    glitch: bool = False


def energy_increase(previous: GpuReading | None, current: GpuReading) -> EnergyIncrease | None:
    """Energy since the previous reading that had any. None: this reading has none.

    A fall is a restart from zero. A jump above twice what the power limit allows is refused and reported. The first
    reading, and the first one after the counter's method or scope changed, are baselines.
    """
    if current.energy is None:
        return None
    before = None if previous is None else previous.energy
    if previous is None or before is None or _kind(previous) != _kind(current):
        return EnergyIncrease(0)
    now = current.energy.millijoules
    grown = now - before.millijoules if now >= before.millijoules else now
    if grown > _ceiling_millijoules(previous, current):
        return EnergyIncrease(0, glitch=True)
    return EnergyIncrease(grown)


def _kind(reading: GpuReading) -> tuple[object, object]:
    assert reading.energy is not None
    return reading.energy.method, reading.energy.scope


def _ceiling_millijoules(previous: GpuReading, current: GpuReading) -> float:
    limit = current.power_limit_watts or previous.power_limit_watts
    if limit is None or (current.energy is not None and current.energy.scope is EnergyScope.MODULE):
        return float("inf")  # a module's joules are not bounded by one GPU's limit
    seconds = current.at_seconds - previous.at_seconds + _REFRESH_SECONDS
    return limit * seconds * _GLITCH_FACTOR * 1000.0


def meters(readings: tuple[GpuReading, ...]) -> dict[str, tuple[GpuReading, ...]]:
    """Which readings each energy meter covers, by the UUID of the GPU that carries the meter.

    A GPU is its own meter, but GPUs of one superchip board report the board's energy each: there the lowest index
    carries it, so that it is counted once.
    """
    boards: dict[str, str] = {}
    covered: dict[str, list[GpuReading]] = {}
    for reading in sorted(readings, key=lambda r: r.gpu.index):
        uuid = boards.setdefault(_board(reading), reading.gpu.uuid)
        covered.setdefault(uuid, []).append(reading)
    return {uuid: tuple(group) for uuid, group in covered.items()}


def _board(reading: GpuReading) -> str:
    shared = reading.energy is not None and reading.energy.scope is EnergyScope.MODULE
    return f"board {reading.gpu.board}" if shared and reading.gpu.board else f"gpu {reading.gpu.uuid}"
