"""An inference server's metrics page, once an engine profile has read it. Units are seconds, tokens and ratios."""

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
    ONE_TOKEN_REQUESTS = "one_token_requests"  # noqa: S105 - counter of finished requests with at most one output token
    PREEMPTIONS = "preemptions"  # counter
    REQUESTS_RUNNING = "requests_running"  # gauge, summed over replicas
    REQUESTS_WAITING = "requests_waiting"  # gauge, summed over replicas
    KV_CACHE_USAGE = "kv_cache_usage"  # gauge, ratio; the fullest replica
    TTFT = "ttft"  # histogram, seconds: received -> first token
    TPOT = "tpot"  # histogram, seconds, one observation per request: (e2e - ttft) / (n - 1)
    ITL = "itl"  # histogram, seconds between tokens; never used for goodput
    E2E = "e2e"  # histogram, seconds
    QUEUE_TIME = "queue_time"  # histogram, seconds
    PREFILL_TIME = "prefill_time"  # histogram, seconds, observed at the end: first scheduled -> first token
    DECODE_TIME = "decode_time"  # histogram, seconds, observed at the end: first token -> last token


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
HISTOGRAMS = frozenset(
    {
        Signal.TTFT,
        Signal.TPOT,
        Signal.ITL,
        Signal.E2E,
        Signal.QUEUE_TIME,
        Signal.PREFILL_TIME,
        Signal.DECODE_TIME,
    }
)


class Outcome(StrEnum):
    """How a request ended. By default cancelled requests are not eligible for an SLO.

    REJECTED requests were refused at admission, before any work. For an SLO they are errors.
    """

    SUCCESS = "success"
    ERROR = "error"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Moves(StrEnum):
    """When the engine adds to its token counters. FINISH makes short live windows lumpy."""

    STEP = "step"
    FIRST_TOKEN = "first_token"  # noqa: S105 - prompts only
    FINISH = "finish"


class OneToken(StrEnum):
    """What the engine's per-request TPOT histogram does with a one-token output."""

    ZERO = "zero"  # records 0 s
    SKIPPED = "skipped"  # records nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTraits:
    """Facts about an engine that are in its profile because its metrics page does not show them."""

    tokens_move: Moves = Moves.STEP
    one_token_tpot: OneToken = OneToken.ZERO
    prompt_includes_cached: bool = True  # False only where the engine does not count cached tokens
    running_is_current: bool = True  # False where the running gauge may lag the page's histograms
    names_models: bool = True  # False where no label names the model; such an engine accepts any name a client sends


class SeriesId(NamedTuple):
    """One cumulative series on a page. `series` distinguishes replicas and splits of the same signal."""

    signal: Signal
    model: str
    series: str = ""
    outcome: Outcome | None = None  # set for REQUESTS only


class Role(StrEnum):
    """What a server does for each request. PREFILL and DECODE servers are two halves of a pair."""

    ANY = "any"  # all of it
    PREFILL = "prefill"  # computes the prompt and the first token, and hands the request over
    DECODE = "decode"  # generates from there


@dataclass(frozen=True, slots=True)
class Absent:
    """Cumulative series that this page lacks but earlier pages of the same run had, with their last values."""

    counters: Mapping[SeriesId, float] = field(default_factory=dict)
    histograms: Mapping[SeriesId, Histogram] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReading:
    """One page of one server, parsed by a profile. Values are finite and >= 0; what a page lacks is absent, never 0.

    `alternatives` is the index of the profile's alternative that each signal was read from. `switched` are the signals
    that the previous page of the same run read from another alternative. `miscounted_successes` are requests that the
    page counts as cancelled and a histogram proves successful; in `counters` they are successes. `pipeline_fronts` are
    request counters of this run that stand for another model's requests and are not in `counters`.

    `earlier` are complete pages of the same server that were read since the last tick, oldest first. Each was read with
    the one before it as the previous reading, and has no `earlier` of its own.
    """

    server: str
    at_seconds: float  # monotonic
    engine: str
    traits: EngineTraits
    counters: Mapping[SeriesId, float]
    gauges: Mapping[tuple[Signal, str], float]  # (signal, model); replicas already combined
    histograms: Mapping[SeriesId, Histogram]
    engine_version: str | None = None
    started_unix_seconds: float | None = None  # start of the process; None where the page does not report it
    gpu_joules: Mapping[str, float] = field(default_factory=dict)  # by GPU UUID, where the engine counts energy itself
    dropped_lines: int = 0  # malformed lines on this page
    miscounted_successes: float = 0.0
    pipeline_fronts: frozenset[SeriesId] = frozenset()
    unread: frozenset[Signal] = frozenset()  # on the page, but at least one of their metrics is unreadable
    absent: Absent = Absent()
    alternatives: Mapping[Signal, int] = field(default_factory=dict)
    switched: frozenset[Signal] = frozenset()
    simulated: bool = False
    role: Role = Role.ANY
    earlier: tuple["EngineReading", ...] = ()
