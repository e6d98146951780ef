"""Metrics of the GPUs: one series for each GPU whose fresh reading has the value.

Every row of model/gpu_quantities.py becomes a metric here. Only metrics of the ledger, and those with further labels,
have a row of their own.
"""

from collections.abc import Callable, Iterator, Mapping

from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.gpu_quantities import GPU_QUANTITIES, POWER, POWER_LIMIT, GpuQuantity
from goodwatt.model.ledger import Ledger
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import Kind, Metric, Sample, Stability

_GPU_LABELS = ("gpu", "uuid")


def _readings(snapshot: Snapshot) -> tuple[GpuReading, ...]:
    """Return the readings that are fresh."""
    return () if snapshot.gpus is None else snapshot.gpus.gpus


def _labels(reading: GpuReading) -> tuple[str, str]:
    return str(reading.gpu.index), reading.gpu.uuid


def _from_readings(get: Callable[[GpuReading], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each GPU whose reading has the value."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for reading in _readings(snapshot):
            value = get(reading)
            if value is not None:
                yield _labels(reading), value

    return samples


def _from_ledger(
    get: Callable[[Ledger], Mapping[str, int]], per_unit: int = 1
) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each fresh GPU: its total in the ledger, divided by `per_unit`."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        totals = get(snapshot.ledger)
        for reading in _readings(snapshot):
            if reading.gpu.uuid in totals:
                yield _labels(reading), totals[reading.gpu.uuid] / per_unit

    return samples


def _info(snapshot: Snapshot) -> Iterator[Sample]:
    for reading in _readings(snapshot):
        gpu = reading.gpu
        yield (*_labels(reading), gpu.product, gpu.driver, *_energy_labels(reading, snapshot.ledger)), 1


def _energy_labels(reading: GpuReading, ledger: Ledger) -> tuple[str, str]:
    """Return method and scope. A lost GPU, or one whose energy was counted before, is only unavailable now."""
    if reading.energy is not None:
        return reading.energy.method.value, reading.energy.scope.value
    counted_before = reading.gpu.uuid in ledger.gpu_energy_millijoules
    word = "unavailable" if counted_before or reading.state is GpuState.LOST else "unsupported"
    return word, word


def _throttled(snapshot: Snapshot) -> Iterator[Sample]:
    for reading in _readings(snapshot):
        for reason, active in (reading.throttled or {}).items():
            yield (*_labels(reading), reason), int(active)


def _state(snapshot: Snapshot) -> Iterator[Sample]:
    for reading in _readings(snapshot):
        for state in GpuState:
            yield (*_labels(reading), state.value), int(reading.state is state)


def _row(quantity: GpuQuantity) -> Metric:
    return Metric(
        name=f"gpu_{quantity.name}",
        kind=Kind.COUNTER if quantity.name.endswith("_total") else Kind.GAUGE,
        unit=quantity.unit,
        help=quantity.help,
        labels=_GPU_LABELS,
        value=_from_readings(lambda reading: reading.quantities.get(quantity.name)),
        stability=Stability.STABLE if quantity.stable else Stability.BETA,
    )


GPUS = (
    Metric(
        name="gpu_info",
        kind=Kind.INFO,
        unit="",
        help="Identity of the GPU, and the method and scope of its energy: measured by the driver's counter, "
        "integrated from sampled power, unsupported, or unavailable now.",
        labels=(*_GPU_LABELS, "product", "driver", "energy_method", "energy_scope"),
        value=_info,
    ),
    _row(POWER),
    _row(POWER_LIMIT),
    Metric(
        name="gpu_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="Energy of the GPU since goodwatt started. Summed over GPUs it equals the attributed energy, the "
        "unattributed energy and that of closed accounts.",
        labels=_GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_energy_millijoules, 1000),
        stability=Stability.STABLE,
    ),
    Metric(
        name="gpu_unattributed_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="Unattributed energy of the GPU: no server claimed it.",
        labels=_GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_unattributed_millijoules, 1000),
        stability=Stability.STABLE,
    ),
    Metric(
        name="gpu_energy_glitches_total",
        kind=Kind.COUNTER,
        unit="glitches",
        help="Jumps of the GPU's energy counter that its power limit rules out. They are not counted as energy.",
        labels=_GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_glitches),
    ),
    *(_row(quantity) for quantity in GPU_QUANTITIES if quantity not in (POWER, POWER_LIMIT)),
    Metric(
        name="gpu_throttled",
        kind=Kind.GAUGE,
        unit="",
        help="1 while the GPU's clocks are throttled for this reason, 0 otherwise.",
        labels=(*_GPU_LABELS, "reason"),
        value=_throttled,
    ),
    Metric(
        name="gpu_state",
        kind=Kind.GAUGE,
        unit="",
        help="1 for the GPU's current state, 0 for the others. A lost GPU keeps its identity and counts no energy.",
        labels=(*_GPU_LABELS, "state"),
        value=_state,
    ),
    Metric(
        name="gpu_xid_errors_total",
        kind=Kind.COUNTER,
        unit="errors",
        help="Xid errors that the driver reported for the GPU since goodwatt started listening for them.",
        labels=_GPU_LABELS,
        value=_from_readings(lambda reading: reading.xid_errors),
    ),
    Metric(
        name="gpu_last_xid",
        kind=Kind.GAUGE,
        unit="",
        help="Code of the GPU's latest Xid error, as listed in NVIDIA's documentation. Absent until one occurs.",
        labels=_GPU_LABELS,
        value=_from_readings(lambda reading: reading.last_xid),
    ),
)
