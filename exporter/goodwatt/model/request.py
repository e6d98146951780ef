"""Request records: single finished requests as a server's trace, or a proxy in front of it, reports them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from goodwatt.model.engine import EngineReading, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One finished request. Latencies are in seconds and >= 0, tokens are whole numbers; None is unknown, never 0.

    `ttft_seconds` is None where no token arrived, or none separately (a response in one piece).
    `tpot_seconds` is (e2e - ttft) / (generated - 1), and None below two generated tokens. Where a server reports the
    time from first to last token, and its histogram observes that, TPOT is computed from it.
    `prompt_tokens` includes cached ones. `arrival_unix_seconds` is wall-clock time.
    """

    server: str
    model: str
    arrival_unix_seconds: float
    e2e_seconds: float
    outcome: Outcome
    ttft_seconds: float | None = None
    tpot_seconds: float | None = None
    prompt_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    generated_tokens: int | None = None
    tokens_estimated: bool = False  # generated tokens counted from chunks, because the server did not report them
    streaming: bool | None = None
    tenant: str | None = None


class Dropped(StrEnum):
    """Why a record that arrived was not counted. Closed set of label values."""

    DUPLICATE = "duplicate"  # already counted
    LATE = "late"  # ended so long ago that it may be a duplicate
    PARTIAL = "partial"  # lacks a required field
    FOREIGN = "foreign"  # a span that is not an engine's request
    UNKNOWN_SERVER = "unknown_server"  # from an engine, but from no configured server
    REFUSED = "refused"  # answered with a status such as 400 or 404: a client error that cost the engine no work
    OTHER_SOURCE = "other_source"  # the server's requests are reported by another source
    HALF_REQUEST = "half_request"  # of a prefill or decode server, which sees half of each request
    MALFORMED = "malformed"  # could not be decoded
    OVERFLOW = "overflow"  # the queue between two ticks was full


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsReading:
    """Records that arrived since the last reading. `dropped` are increments.

    `page` replaces the metrics page of a server that is not scraped. Only a proxy in front of such a server has one,
    and the ledger takes the server's tokens from its counters.
    """

    at_seconds: float  # monotonic
    records: tuple[RequestRecord, ...] = ()
    dropped: Mapping[Dropped, int] = field(default_factory=dict)
    page: EngineReading | None = None
    simulated: bool = False
