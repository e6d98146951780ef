"""What the fold remembers between ticks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from goodwatt.derive.energy.attribution import Activity
from goodwatt.derive.energy.meters import Meter
from goodwatt.model.engine import EngineReading
from goodwatt.model.gpu import GpusReading
from goodwatt.model.ledger import Account, Ledger, SloEvidence, SloKey
from goodwatt.model.snapshot import SourceState
from goodwatt.model.source import SourceId


@dataclass(frozen=True, slots=True)
class Mark:
    """The ledger as it stood at a tick: what live figures are measured from."""

    at_seconds: float
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class State:
    """Everything the next tick needs. A new `State()` is a start with nothing known."""

    at_seconds: float | None = None
    ticks: int = 0
    sources: Mapping[SourceId, SourceState] = field(default_factory=dict)
    engines: Mapping[str, EngineReading] = field(default_factory=dict)  # the last page of each server
    gpus: Mapping[SourceId, GpusReading] = field(default_factory=dict)  # the last read of each source, no GPU twice
    gpu_owners: Mapping[str, SourceId] = field(default_factory=dict)  # by UUID: the source whose readings count
    meters: Mapping[str, Meter] = field(default_factory=dict)  # by UUID
    activities: Mapping[str, tuple[Activity, ...]] = field(default_factory=dict)  # by server, at its last page
    ledger: Ledger = field(default_factory=Ledger)
    marks: tuple[Mark, ...] = ()
    since: Mapping[Account, float] = field(default_factory=dict)  # when an account was first seen, or last came back
    window_opened_seconds: float | None = None  # of the SLO window now being filled
    window_evidence: Mapping[SloKey, SloEvidence] = field(default_factory=dict)  # as it stood at that moment
    record_sources: Mapping[str, SourceId] = field(default_factory=dict)  # by server: the source whose records count
    records_since: Mapping[Account, float] = field(default_factory=dict)  # since when records of an account count
    departed: tuple[str, ...] = ()  # servers no longer watched whose accounts are open, longest gone first
