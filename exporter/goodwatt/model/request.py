"""One finished request as whoever saw it whole tells of it: a server's trace, or the proxy in front of a server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from goodwatt.model.engine import EngineReading, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """Latencies are in seconds and >= 0, tokens are whole; None is what could not be told, never 0.

    `ttft_seconds` is None where no token came or none was seen on its own (an answer in one piece).
    `tpot_seconds` is (e2e - ttft) / (generated - 1), None below two generated tokens; where a server tells the time
    from its first token to its last, and observes that in its histogram, it is made of that.
    `prompt_tokens` includes the cached ones. `arrival_unix_seconds` is wall-clock time.
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
    tokens_estimated: bool = False  # generated tokens counted from chunks, since the server did not tell
    streaming: bool | None = None
    tenant: str | None = None


class Dropped(StrEnum):
    """Why something that arrived as a request's record was not counted. Closed vocabulary of a label."""

    DUPLICATE = "duplicate"  # counted before
    LATE = "late"  # ended too long ago to be told from a duplicate
    PARTIAL = "partial"  # lacks what a record cannot do without
    FOREIGN = "foreign"  # of something that is no request of an engine
    UNKNOWN_SERVER = "unknown_server"  # of an engine, but of none that is configured
    REFUSED = "refused"  # answered with a status such as 400 or 404: a mistake of the client's, no work of the engine
    OTHER_SOURCE = "other_source"  # of a server whose requests another source tells of
    MALFORMED = "malformed"  # cannot be decoded
    OVERFLOW = "overflow"  # more than the queue holds between two ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsReading:
    """What arrived since the last reading. `dropped` are increments.

    `page` stands for the metrics page of servers' own that nobody scrapes: only a proxy in front of such a server has
    one, and its counters are then the tokens of the ledger.
    """

    at_seconds: float  # monotonic
    records: tuple[RequestRecord, ...] = ()
    dropped: Mapping[Dropped, int] = field(default_factory=dict)
    page: EngineReading | None = None
    simulated: bool = False
