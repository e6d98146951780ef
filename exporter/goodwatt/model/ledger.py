"""The ledger: everything counted since start. Numbers only grow; mappings are replaced, never changed in place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals, TokenCount
from goodwatt.model.histogram import Histogram
from goodwatt.model.source import SourceId


class Account(NamedTuple):
    """A served model on a server: what tokens, joules and money are booked to."""

    server: str
    model: str


class EnergyState(StrEnum):
    """Whether the account was working in the interval that the joules were used in."""

    BUSY = "busy"
    IDLE = "idle"


class TokenKind(StrEnum):
    """What tokens are sold as. PROMPT tokens were computed, not found in the prefix cache."""

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
    """Records of one kind on one account, and the source that reported them."""

    account: Account
    source: SourceId
    outcome: Outcome
    tokens: TokenCount


@dataclass(frozen=True, slots=True)
class Marginal:
    """Observations against one threshold: how many certainly met it, how many possibly, and how many there were."""

    certain: float = 0.0
    possible: float = 0.0
    observed: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SloEvidence:
    """What histograms show about one SLO. Everything is cumulative except `in_flight`.

    `in_flight` is an upper bound on the requests now past their first token and not finished; `adopted` is its sum over
    the first pages of engines, where requests were in flight before anything was counted.
    """

    marginals: tuple[Marginal, ...]  # in the order of Slo.thresholds
    succeeded: float = 0.0
    failed: float = 0.0
    cancelled: float = 0.0
    in_flight: float = 0.0
    adopted: float = 0.0


@dataclass(frozen=True, slots=True)
class SloTotals:
    """Requests eligible for an SLO, and bounds on how many of them were good."""

    eligible: float = 0.0
    good_lower: float = 0.0
    good_upper: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Totals since start. Energy is in whole millijoules and conserved: all GPUs = accounts + closed + unattributed.

    Costs are by the name of a cost component, such as `rental`. Closed accounts are those of servers removed long ago
    and of models beyond a server's limit: only the sums of their energy, cost and carbon are kept.
    """

    counts: Mapping[CountKey, float] = field(default_factory=dict)
    histograms: Mapping[tuple[Account, Signal], Histogram] = field(default_factory=dict)
    gpu_energy_millijoules: Mapping[str, int] = field(default_factory=dict)
    gpu_unattributed_millijoules: Mapping[str, int] = field(default_factory=dict)
    gpu_glitches: Mapping[str, int] = field(default_factory=dict)
    energy_millijoules: Mapping[tuple[Account, EnergyState], int] = field(default_factory=dict)
    cost: Mapping[tuple[Account, str], float] = field(default_factory=dict)
    unattributed_cost: Mapping[str, float] = field(default_factory=dict)
    sold_tokens: Mapping[tuple[Account, TokenKind], float] = field(default_factory=dict)  # what revenue was counted for
    revenue: Mapping[tuple[Account, TokenKind], float] = field(default_factory=dict)
    carbon_grams: Mapping[Account, float] = field(default_factory=dict)
    unattributed_carbon_grams: float | None = None
    evidence: Mapping[SloKey, SloEvidence] = field(default_factory=dict)
    slos: Mapping[SloKey, SloTotals] = field(default_factory=dict)
    records: Mapping[RecordKey, int] = field(default_factory=dict)
    exact: Mapping[SloKey, ExactTotals] = field(default_factory=dict)
    latencies: Mapping[tuple[Account, Signal], Histogram] = field(default_factory=dict)  # of successes, from records
    dropped_lines: Mapping[str, int] = field(default_factory=dict)
    closed_energy_millijoules: int | None = None
    closed_cost: Mapping[str, float] = field(default_factory=dict)
    closed_carbon_grams: float | None = None
