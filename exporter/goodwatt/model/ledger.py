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
class SloTotals:
    """Requests eligible for an SLO, and bounds on how many of them were good. Every number only grows.

    `good_at_end` is the upper bound by the thresholds that are observed when a request ends. `first_tokens` and
    `finished` are the populations behind the bounds; `first_tokens` stays 0 without a TTFT threshold.
    """

    eligible: float = 0.0
    good_lower: float = 0.0
    good_upper: float = 0.0
    good_at_end: float = 0.0
    first_tokens: float = 0.0
    finished: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TickTotals:
    """Requests eligible for an SLO, and bounds on the good ones by method "tick": TTFT is derived when a request ends.

    They rest on a margin, not on a proof, so they are never added to SloTotals. Every number only grows.
    """

    eligible: float = 0.0
    good_lower: float = 0.0
    good_upper: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SloEvidence:
    """What the histograms of an account say about one SLO. Every number only grows.

    `tick` is None without a TTFT threshold, and until the account has shown a decode time histogram.
    """

    marginals: tuple[Marginal, ...]  # in the order of Slo.thresholds
    totals: SloTotals = SloTotals()
    tick: TickTotals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstTokens:
    """First tokens whose requests have not ended, as one SLO of an account sees them.

    `unmatched` ones have no end matched with them yet; `unmatched_bad` of them may have missed the TTFT threshold,
    `unmatched_good` may have met it. `bad_in_flight` and `good_in_flight` bound how many requests running now may have
    missed or met it.
    """

    unmatched_bad: float = 0.0
    unmatched_good: float = 0.0
    unmatched: float = 0.0
    bad_in_flight: float = 0.0
    good_in_flight: float = 0.0

    @property
    def bad_charge(self) -> float:
        """What a range that begins now subtracts, once, from its lower bound: the bad ones in flight, less unmatched.

        They were matched with earlier ends, so nothing is left to match with their own.
        """
        return self.bad_in_flight - self.unmatched_bad

    @property
    def good_charge(self) -> float:
        """What a range that begins now adds, once, to its upper bound: the good ones in flight, less unmatched."""
        return self.good_in_flight - self.unmatched_good


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
