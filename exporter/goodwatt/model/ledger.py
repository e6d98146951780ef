"""The ledger: everything counted since start. Every number only grows; every mapping is replaced, never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals, TokenCount
from goodwatt.model.histogram import Histogram
from goodwatt.model.source import SourceId


class Account(NamedTuple):
    """Who pays: a served model on a server."""

    server: str
    model: str


class EnergyState(StrEnum):
    """Whether the account worked in the interval that the joules belong to."""

    BUSY = "busy"
    IDLE = "idle"


class Component(StrEnum):
    """What the money was paid for."""

    RENTAL = "rental"  # GPU-hours; electricity is inside
    ELECTRICITY = "electricity"


class TokenKind(StrEnum):
    """What tokens are sold as. PROMPT are those that were worked on, found in no cache."""

    PROMPT = "prompt"
    CACHED_PROMPT = "cached_prompt"
    GENERATED = "generated"


class CountKey(NamedTuple):
    """One counter of an account. `outcome` is set for Signal.REQUESTS only."""

    account: Account
    signal: Signal
    outcome: Outcome | None = None


class SloKey(NamedTuple):
    """One SLO on one account."""

    account: Account
    slo: str


class RecordKey(NamedTuple):
    """Records of one kind on one account, and the source that told of them."""

    account: Account
    source: SourceId
    outcome: Outcome
    tokens: TokenCount


@dataclass(frozen=True, slots=True)
class Marginal:
    """Observations of one threshold's histogram: how many surely and how many possibly met it, of how many seen."""

    surely: float = 0.0
    possibly: float = 0.0
    seen: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SloEvidence:
    """What histograms say of one SLO, cumulative, but for `in_flight`.

    `in_flight` is at most how many requests are now past their first token and not finished; `adopted` adds up those
    that were so on the first page of an engine, before anything of it was counted.
    """

    marginals: tuple[Marginal, ...]  # in the order of Slo.thresholds
    succeeded: float = 0.0
    failed: float = 0.0
    cancelled: float = 0.0
    in_flight: float = 0.0
    adopted: float = 0.0


@dataclass(frozen=True, slots=True)
class SloTotals:
    """Requests that count for an SLO, and between how many and how many of them were good."""

    eligible: float = 0.0
    good_lower: float = 0.0
    good_upper: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Totals since start. Energy is in whole millijoules and conserves: all GPUs = accounts + closed + unattributed.

    Closed accounts are those of servers that were removed long ago: of what they were given only sums are kept.
    """

    counts: Mapping[CountKey, float] = field(default_factory=dict)
    histograms: Mapping[tuple[Account, Signal], Histogram] = field(default_factory=dict)
    gpu_energy_millijoules: Mapping[str, int] = field(default_factory=dict)
    gpu_unattributed_millijoules: Mapping[str, int] = field(default_factory=dict)
    gpu_glitches: Mapping[str, int] = field(default_factory=dict)
    energy_millijoules: Mapping[tuple[Account, EnergyState], int] = field(default_factory=dict)
    cost: Mapping[tuple[Account, Component], float] = field(default_factory=dict)
    unattributed_cost: Mapping[Component, float] = field(default_factory=dict)
    sold_tokens: Mapping[tuple[Account, TokenKind], float] = field(
        default_factory=dict
    )  # revenue was counted up to here
    revenue: Mapping[tuple[Account, TokenKind], float] = field(default_factory=dict)
    carbon_grams: Mapping[Account, float] = field(default_factory=dict)
    unattributed_carbon_grams: float | None = None
    evidence: Mapping[SloKey, SloEvidence] = field(default_factory=dict)
    slos: Mapping[SloKey, SloTotals] = field(default_factory=dict)
    records: Mapping[RecordKey, int] = field(default_factory=dict)
    exact: Mapping[SloKey, ExactTotals] = field(default_factory=dict)
    latencies: Mapping[tuple[Account, Signal], Histogram] = field(default_factory=dict)  # of records that succeeded
    dropped_lines: Mapping[str, int] = field(default_factory=dict)
    closed_energy_millijoules: int | None = None
    closed_cost: Mapping[Component, float] = field(default_factory=dict)
    closed_carbon_grams: float | None = None
