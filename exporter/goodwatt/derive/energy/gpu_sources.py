"""Combine the readings of several GPU sources. Every GPU counts once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from goodwatt.model.gpu import GpusReading
from goodwatt.model.source import SourceId, SourceResult


def take_gpu_readings(
    known: Mapping[SourceId, GpusReading], owners: Mapping[str, SourceId], results: Sequence[SourceResult]
) -> tuple[dict[SourceId, GpusReading], dict[str, SourceId]]:
    """Return the latest reading of each GPU source, no GPU twice, and the owner of each GPU by UUID.

    The first source that reports a GPU owns it until that source is removed; within a tick the earlier result is first.
    Other sources' readings of it are ignored, even while the owner fails, because two sources may count its energy
    differently: a difference between their counters is not energy.
    """
    latest, owned = dict(known), dict(owners)
    for result in results:
        reading = result.outcome
        if isinstance(reading, GpusReading):
            own = tuple(g for g in reading.gpus if owned.setdefault(g.gpu.uuid, result.source) == result.source)
            latest[result.source] = reading if len(own) == len(reading.gpus) else replace(reading, gpus=own)
    return latest, owned


def merged_gpus(readings: Collection[GpusReading]) -> GpusReading | None:
    """One reading with the GPUs and notes of all, simulated if any is; None without a reading."""
    if len(readings) <= 1:
        return next(iter(readings), None)
    return GpusReading(
        gpus=tuple(chain.from_iterable(reading.gpus for reading in readings)),
        simulated=any(reading.simulated for reading in readings),
        notes=tuple(chain.from_iterable(reading.notes for reading in readings)),
    )
