"""Metrics of the GPUs: one series for each GPU with a fresh reading that has the value.

A row of model/gpu_quantities.py is a metric without a row here. The rows here are what the ledger counts and what takes
labels of its own.
"""

from collections.abc import Callable, Iterator, Mapping

from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.gpu_quantities import GPU_QUANTITIES, POWER, POWER_LIMIT, GpuQuantity
from goodwatt.model.ledger import Ledger
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import Kind, Metric, Sample, Stability

GPU_LABELS = ("gpu", "uuid")


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
    """One sample for each fresh GPU in the ledger's totals by UUID, divided by `per_unit`."""

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
    """Return method and scope. A GPU whose energy was counted before is only unavailable now, as a lost one is."""
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
        labels=GPU_LABELS,
        value=_from_readings(lambda reading: reading.quantities.get(quantity.name)),
        stability=Stability.STABLE if quantity.stable else Stability.BETA,
    )


GPUS = (
    Metric(
        name="gpu_info",
        kind=Kind.INFO,
        unit="",
        help="Which GPU this is, and how its joules are obtained: measured by the driver's counter, integrated from "
        "sampled power, unsupported, or unavailable now; and what they cover.",
        labels=(*GPU_LABELS, "product", "driver", "energy_method", "energy_scope"),
        value=_info,
    ),
    _row(POWER),
    _row(POWER_LIMIT),
    Metric(
        name="gpu_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="Energy of the GPU since goodwatt started. Over all GPUs it equals what is given to servers and models, "
        "what is unattributed, and what closed accounts once were given.",
        labels=GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_energy_millijoules, 1000),
        stability=Stability.STABLE,
    ),
    Metric(
        name="gpu_unattributed_energy_joules_total",
        kind=Kind.COUNTER,
        unit="joules",
        help="Energy of the GPU that no server claimed.",
        labels=GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_unattributed_millijoules, 1000),
        stability=Stability.STABLE,
    ),
    Metric(
        name="gpu_energy_glitches_total",
        kind=Kind.COUNTER,
        unit="glitches",
        help="Jumps of the GPU's energy counter that its power limit rules out; they were left out of the energy.",
        labels=GPU_LABELS,
        value=_from_ledger(lambda ledger: ledger.gpu_glitches),
    ),
    *(_row(quantity) for quantity in GPU_QUANTITIES if quantity not in (POWER, POWER_LIMIT)),
    Metric(
        name="gpu_throttled",
        kind=Kind.GAUGE,
        unit="",
        help="1 while the reason holds the GPU's clocks back, 0 while it does not.",
        labels=(*GPU_LABELS, "reason"),
        value=_throttled,
    ),
    Metric(
        name="gpu_state",
        kind=Kind.GAUGE,
        unit="",
        help="1 for the state that the GPU is in, 0 for the others. A lost GPU keeps its identity and counts "
        "no energy.",
        labels=(*GPU_LABELS, "state"),
        value=_state,
    ),
    Metric(
        name="gpu_xid_errors_total",
        kind=Kind.COUNTER,
        unit="errors",
        help="Xid errors that the driver reported of the GPU since goodwatt began to listen.",
        labels=GPU_LABELS,
        value=_from_readings(lambda reading: reading.xid_errors),
    ),
    Metric(
        name="gpu_last_xid",
        kind=Kind.GAUGE,
        unit="",
        help="Number of the GPU's latest Xid error, as NVIDIA's documentation lists them. Absent until there is one.",
        labels=GPU_LABELS,
        value=_from_readings(lambda reading: reading.last_xid),
    ),
)
