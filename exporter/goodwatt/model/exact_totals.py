"""What requests' records add up to: every request judged on its own, so nothing here is a bound."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Unjudged(StrEnum):
    """Why a request is on neither side of an objective. Closed vocabulary of a label."""

    ERROR = "error"  # Errors.EXCLUDE
    CANCELLED = "cancelled"  # Cancelled.EXCLUDE
    ONE_TOKEN = "one_token"  # noqa: S105 - OneTokenOutputs.EXCLUDE
    TTFT_UNKNOWN = "ttft_unknown"  # the objective has a threshold for what the record does not tell
    TPOT_UNKNOWN = "tpot_unknown"


class TokenCount(StrEnum):
    """How a record knows the number of generated tokens."""

    REPORTED = "reported"  # by the server
    ESTIMATED = "estimated"  # from the chunks of a stream
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactTotals:
    """Requests under one objective: good <= each of `met` <= eligible, and eligible + unjudged = every record.

    `met` counts eligible requests that succeeded within each threshold, in the order of Slo.thresholds. Tokens are
    generated ones of eligible and of good requests, as far as they are known; None while no record told any.
    """

    met: tuple[int, ...]
    eligible: int = 0
    good: int = 0
    tokens: int | None = None
    good_tokens: int | None = None
    unjudged: Mapping[Unjudged, int] = field(default_factory=dict)
