"""What is published: one consistent picture of the ledger and of what was read last."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.model.engine import EngineReading
from exporter.model.gpu import GpusReading
from exporter.model.ledger import Account, Ledger, SloKey
from exporter.model.rules import Rules
from exporter.model.source import Reason


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source fares. `misses` counts failed reads since the last good one."""

    source: str
    up: bool
    misses: int
    duration_seconds: float
    last_success_seconds: float | None = None  # monotonic; None until the first success
    reason: Reason | None = None  # of the latest failure, while down
    detail: str = ""
    failures: Mapping[Reason, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenRates:
    """Tokens per second over the window; None where the engine does not count them. `prompt` includes cached."""

    generated: float | None = None
    prompt: float | None = None
    cached_prompt: float | None = None


@dataclass(frozen=True, slots=True)
class Live:
    """One account over the latest window of `seconds`. None: cannot be told (no energy, no price, no history yet)."""

    seconds: float
    tokens: TokenRates = TokenRates()
    watts: float | None = None
    busy_watts: float | None = None
    cost_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class SloLive:
    """One SLO on one account over the latest window of `seconds`."""

    seconds: float
    eligible: float
    good_lower: float
    good_upper: float
    first_tokens_minus_finished: float | None  # how far the TTFT and the finished populations differ; None: no TTFT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`gpus` and `servers` hold fresh readings only: a source that missed too many ticks is absent, not frozen."""

    at_seconds: float
    unix_seconds: float
    rules: Rules
    sources: tuple[SourceState, ...]
    gpus: GpusReading | None
    servers: Mapping[str, EngineReading]
    ledger: Ledger
    live: Mapping[Account, Live] = field(default_factory=dict)
    slo_live: Mapping[SloKey, SloLive] = field(default_factory=dict)
    tick_seconds: float | None = None  # how long the previous tick took
    ticks: int = 0
