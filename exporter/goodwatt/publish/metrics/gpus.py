"""Samples of the GPU metrics: everything of a GPU that is in the latest fresh reading."""

from collections.abc import Callable, Iterator, Mapping

from goodwatt.model.gpu import GpuReading, GpuState
from goodwatt.model.ledger import Ledger
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import Sample

Labels = tuple[str, ...]


def readings(snapshot: Snapshot) -> tuple[GpuReading, ...]:
    """The GPUs that are fresh."""
    return () if snapshot.gpus is None else snapshot.gpus.gpus


def labels(reading: GpuReading) -> Labels:
    """Values of the labels gpu and uuid."""
    return str(reading.gpu.index), reading.gpu.uuid


def field(get: Callable[[GpuReading], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each GPU on which `get` knows a value."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for reading in readings(snapshot):
            value = get(reading)
            if value is not None:
                yield labels(reading), value

    return samples


def total(get: Callable[[Ledger], Mapping[str, int]], per_unit: int = 1) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each fresh GPU that the ledger's mapping by UUID knows; `per_unit` counts make one unit."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        totals = get(snapshot.ledger)
        for reading in readings(snapshot):
            if reading.gpu.uuid in totals:
                yield labels(reading), totals[reading.gpu.uuid] / per_unit

    return samples


def info(snapshot: Snapshot) -> Iterator[Sample]:
    """gpu, uuid, product, driver, energy_method, energy_scope."""
    for reading in readings(snapshot):
        gpu = reading.gpu
        yield (*labels(reading), gpu.product, gpu.driver, *_energy(reading, snapshot.ledger)), 1


def _energy(reading: GpuReading, ledger: Ledger) -> tuple[str, str]:
    """A GPU that had a meter and shows none is out of reach for now, as a lost one is."""
    if reading.energy is not None:
        return reading.energy.method.value, reading.energy.scope.value
    had = reading.gpu.uuid in ledger.gpu_energy_millijoules
    word = "unavailable" if had or reading.state is GpuState.LOST else "unsupported"
    return word, word


def throttled(snapshot: Snapshot) -> Iterator[Sample]:
    """gpu, uuid, reason: 1 while the reason holds the clocks back."""
    for reading in readings(snapshot):
        for reason, active in (reading.throttled or {}).items():
            yield (*labels(reading), reason), int(active)


def state(snapshot: Snapshot) -> Iterator[Sample]:
    """gpu, uuid, state: 1 for the present state, 0 for every other."""
    for reading in readings(snapshot):
        for word in GpuState:
            yield (*labels(reading), word.value), int(reading.state is word)
