"""From raw energy counters to accepted joules."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from goodwatt.model.gpu import EnergyScope, GpuReading

# The driver refreshes its counter about every 100 ms, so a short interval may include one refresh more than its length.
_REFRESH_SECONDS = 0.2
_GLITCH_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class EnergyIncrease:
    """Whole millijoules accepted for one GPU in one interval; `glitch` marks a jump that was rejected."""

    millijoules: int
    glitch: bool = False


@dataclass(frozen=True, slots=True)
class EnergyMeter:
    """The last accepted reading of a GPU's energy counter, and the reading after it if its jump was rejected."""

    accepted: GpuReading
    rejected: GpuReading | None = None


def energy_increase(meter: EnergyMeter | None, current: GpuReading) -> EnergyIncrease | None:
    """Energy since the meter's last accepted reading; None where this reading has none.

    A lower value is a counter reset to zero. A jump above twice what the power limit allows is a glitch: it is rejected
    and reported. If the next reading continues from the jump, the counter has moved and only the growth after it
    counts; if it returns to a possible value, no energy is lost. The first reading, and the first one after the
    counter's method or scope changed, are baselines.
    """
    if current.energy is None:
        return None
    if meter is None or _kind(meter.accepted) != _kind(current):
        return EnergyIncrease(0)
    if meter.rejected is not None and _continues(meter.rejected, current):
        return EnergyIncrease(_increase(meter.rejected, current))
    if _is_possible(meter.accepted, current):
        return EnergyIncrease(_increase(meter.accepted, current))
    return EnergyIncrease(0, glitch=True)


def update_meter(meter: EnergyMeter | None, current: GpuReading) -> EnergyMeter:
    """Return the meter after a reading that has energy."""
    increase = energy_increase(meter, current)
    if meter is None or increase is None or not increase.glitch:
        return EnergyMeter(current)
    return EnergyMeter(meter.accepted, rejected=current)


def _millijoules(reading: GpuReading) -> int:
    assert reading.energy is not None
    return reading.energy.millijoules


def _increase(previous: GpuReading, current: GpuReading) -> int:
    before, now = _millijoules(previous), _millijoules(current)
    return now - before if now >= before else now


def _continues(previous: GpuReading, current: GpuReading) -> bool:
    return _millijoules(current) >= _millijoules(previous) and _is_possible(previous, current)


def _is_possible(previous: GpuReading, current: GpuReading) -> bool:
    return _increase(previous, current) <= _ceiling_millijoules(previous, current)


def _kind(reading: GpuReading) -> tuple[object, object]:
    assert reading.energy is not None
    return reading.energy.method, reading.energy.scope


def _ceiling_millijoules(previous: GpuReading, current: GpuReading) -> float:
    limit = max(current.power_limit_watts or 0.0, previous.power_limit_watts or 0.0)
    if limit == 0.0 or _is_shared(current):
        return float("inf")  # no known limit, or a limit for one GPU while the counter covers a module
    seconds = current.at_seconds - previous.at_seconds + _REFRESH_SECONDS
    return limit * seconds * _GLITCH_FACTOR * 1000.0


def gpus_by_meter(
    readings: Iterable[GpuReading], known: Container[str] = frozenset()
) -> dict[str, tuple[GpuReading, ...]]:
    """Group readings by energy meter; the key is the UUID of the GPU that reports the meter.

    Every GPU is its own meter, except that GPUs of one superchip board each report the whole board's energy. Only one
    of them reports for the board, or its energy would count several times: the lowest index among those with a `known`
    meter, or among all if none is known.
    """
    boards: dict[str, str] = {}
    groups: dict[str, list[GpuReading]] = {}
    for reading in sorted(readings, key=lambda r: (r.gpu.uuid not in known, r.gpu.index)):
        uuid = boards.setdefault(_board(reading), reading.gpu.uuid)
        groups.setdefault(uuid, []).append(reading)
    return {uuid: tuple(group) for uuid, group in groups.items()}


def update_meters(meters: Mapping[str, EnergyMeter], readings: Iterable[GpuReading]) -> dict[str, EnergyMeter]:
    """Return every meter after one more read of the GPUs, by UUID.

    A GPU that could not be read keeps its meter, unless another GPU of its board was read: that one has counted the
    board's energy meanwhile, so the unread GPU's old value must not be counted from again.
    """
    read = {r.gpu.uuid: r for r in readings if r.energy is not None}
    boards = {_board(reading) for reading in read.values()}
    kept = {uuid: meter for uuid, meter in meters.items() if _board(meter.accepted) not in boards}
    return {**kept, **{uuid: update_meter(meters.get(uuid), reading) for uuid, reading in read.items()}}


def _board(reading: GpuReading) -> str:
    return f"board {reading.gpu.board}" if _is_shared(reading) and reading.gpu.board else f"gpu {reading.gpu.uuid}"


def _is_shared(reading: GpuReading) -> bool:
    return reading.energy is not None and reading.energy.scope is EnergyScope.MODULE
