"""What an inference server's exposition means once a profile has read it. Units are seconds, tokens and ratios."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from goodwatt.model.histogram import Histogram


class Signal(StrEnum):
    """A canonical quantity that an engine may offer."""

    PROMPT_TOKENS = "prompt_tokens"  # counter; includes cached tokens
    CACHED_PROMPT_TOKENS = "cached_prompt_tokens"  # counter
    GENERATED_TOKENS = "generated_tokens"  # counter
    REQUESTS = "requests"  # counter of finished requests, by Outcome
    ONE_TOKEN_REQUESTS = "one_token_requests"  # noqa: S105 - counter of finished requests of one output token at most
    PREEMPTIONS = "preemptions"  # counter
    REQUESTS_RUNNING = "requests_running"  # gauge, summed over replicas
    REQUESTS_WAITING = "requests_waiting"  # gauge, summed over replicas
    KV_CACHE_USAGE = "kv_cache_usage"  # gauge, ratio; the fullest replica
    TTFT = "ttft"  # histogram, seconds: received -> first token
    TPOT = "tpot"  # histogram, seconds, one observation a request: (e2e - ttft) / (n - 1)
    ITL = "itl"  # histogram, seconds between tokens; never used for goodput
    E2E = "e2e"  # histogram, seconds
    QUEUE_TIME = "queue_time"  # histogram, seconds


COUNTERS = frozenset(
    {
        Signal.PROMPT_TOKENS,
        Signal.CACHED_PROMPT_TOKENS,
        Signal.GENERATED_TOKENS,
        Signal.REQUESTS,
        Signal.ONE_TOKEN_REQUESTS,
        Signal.PREEMPTIONS,
    }
)
GAUGES = frozenset({Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING, Signal.KV_CACHE_USAGE})
HISTOGRAMS = frozenset({Signal.TTFT, Signal.TPOT, Signal.ITL, Signal.E2E, Signal.QUEUE_TIME})


class Outcome(StrEnum):
    """How a request ended. Cancelled requests are in neither side of goodput."""

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"


class Moves(StrEnum):
    """When the engine's token counters grow. FINISH makes short live windows lumpy."""

    STEP = "step"
    FIRST_TOKEN = "first_token"  # noqa: S105 - prompts only
    FINISH = "finish"


class OneToken(StrEnum):
    """What the engine's per-request TPOT histogram does with a one-token output."""

    ZERO = "zero"  # records 0 s
    SKIPPED = "skipped"  # records nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTraits:
    """What a profile knows of an engine and no exposition says."""

    tokens_move: Moves = Moves.STEP
    one_token_tpot: OneToken = OneToken.ZERO
    prompt_includes_cached: bool = True  # False only where the engine cannot tell how many were cached
    running_is_current: bool = True  # False where the running gauge may be older than the histograms beside it
    names_models: bool = True  # False where no label tells the model: it answers whatever name a client gives


class SeriesId(NamedTuple):
    """One cumulative series of a page. `series` holds what distinguishes replicas and splits of the same signal."""

    signal: Signal
    model: str
    series: str = ""
    outcome: Outcome | None = None  # set for REQUESTS only


@dataclass(frozen=True, slots=True)
class Absent:
    """Cumulative series that earlier pages of the same run had and this one lacks, with their last values."""

    counters: Mapping[SeriesId, float] = field(default_factory=dict)
    histograms: Mapping[SeriesId, Histogram] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """One page of one server, understood. Values are finite and >= 0; what a page lacks is absent, never 0.

    `alternatives` says which of its profile's alternatives each signal was read from, and `switched` names those that
    were read from another one on the page before, within one run of the engine.
    """

    server: str
    at_seconds: float  # monotonic
    engine: str
    traits: EngineTraits
    counters: Mapping[SeriesId, float]
    gauges: Mapping[tuple[Signal, str], float]  # (signal, model); replicas already combined
    histograms: Mapping[SeriesId, Histogram]
    engine_version: str | None = None
    started_unix_seconds: float | None = None  # the process behind the page, where it tells
    gpu_joules: Mapping[str, float] = field(default_factory=dict)  # by UUID, where the engine counts them itself
    dropped_lines: int = 0  # malformed lines of this page
    unread: frozenset[Signal] = frozenset()  # on the page, but at least one of its metrics cannot be believed
    absent: Absent = Absent()
    alternatives: Mapping[Signal, int] = field(default_factory=dict)
    switched: frozenset[Signal] = frozenset()
    simulated: bool = False
