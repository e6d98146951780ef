"""What the fold remembers between ticks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from goodwatt.derive.energy.attribution import Activity
from goodwatt.derive.energy.meters import EnergyMeter
from goodwatt.derive.page_growth import PageGrowth
from goodwatt.derive.slo.pairs import Pair
from goodwatt.derive.slo.tick_margin import TickMargin
from goodwatt.model.engine import EngineReading
from goodwatt.model.gpu import GpusReading
from goodwatt.model.ledger import Account, FirstTokens, Ledger, SloKey
from goodwatt.model.snapshot import SourceState
from goodwatt.model.source import SourceId


@dataclass(frozen=True, slots=True)
class Mark:
    """The ledger as of one tick. Live figures are differences from a mark."""

    at_seconds: float
    ledger: Ledger
    first_tokens: Mapping[SloKey, FirstTokens] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that the next tick needs. `State()` is a start with nothing known. Times are monotonic seconds."""

    at_seconds: float | None = None  # of the last tick
    ticks: int = 0
    sources: Mapping[SourceId, SourceState] = field(default_factory=dict)
    engines: Mapping[str, EngineReading] = field(default_factory=dict)  # by server: its last page
    gpus: Mapping[SourceId, GpusReading] = field(default_factory=dict)  # the last read of each source, no GPU twice
    gpu_owners: Mapping[str, SourceId] = field(default_factory=dict)  # by UUID
    meters: Mapping[str, EnergyMeter] = field(default_factory=dict)  # by UUID
    activities: Mapping[str, tuple[Activity, ...]] = field(default_factory=dict)  # by server, as of its last page
    ledger: Ledger = field(default_factory=Ledger)
    marks: tuple[Mark, ...] = ()
    since: Mapping[Account, float] = field(default_factory=dict)  # when an account was first seen, or last recovered
    first_tokens: Mapping[SloKey, FirstTokens] = field(default_factory=dict)  # of requests that have not ended
    torn_pages: Mapping[str, PageGrowth] = field(default_factory=dict)  # by server, to be judged with its next page
    pairs: Mapping[str, Pair] = field(default_factory=dict)  # by model: servers with roles
    tick_margins: Mapping[Account, TickMargin] = field(default_factory=dict)  # where method "tick" judges
    record_sources: Mapping[str, SourceId] = field(default_factory=dict)  # by server
    records_since: Mapping[Account, float] = field(default_factory=dict)  # since when an account's records count
    progressed: Mapping[str, float] = field(default_factory=dict)  # by server, when it last made progress
    removed_servers: tuple[str, ...] = ()  # no longer read, but with open accounts; the longest removed first
