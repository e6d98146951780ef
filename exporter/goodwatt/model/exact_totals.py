"""Totals from request records. Every request is judged on its own, so the totals are exact."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Unjudged(StrEnum):
    """Why a request is neither eligible nor good. Closed set of label values."""

    ERROR = "error"  # Errors.EXCLUDE
    CANCELLED = "cancelled"  # Cancelled.EXCLUDE
    ONE_TOKEN = "one_token"  # noqa: S105 - OneTokenOutputs.EXCLUDE
    TTFT_UNKNOWN = "ttft_unknown"  # the SLO has a TTFT threshold, but the record has no TTFT
    TPOT_UNKNOWN = "tpot_unknown"


class TokenCount(StrEnum):
    """Where a record's number of generated tokens comes from."""

    REPORTED = "reported"  # by the server
    ESTIMATED = "estimated"  # from the chunks of a stream
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactTotals:
    """Requests under one SLO: good <= each of `met` <= eligible, and eligible + unjudged = every record.

    `met` counts eligible requests that succeeded within each threshold, in the order of Slo.thresholds. Tokens are the
    generated tokens of eligible and of good requests, from records that have them; None while none had any.
    """

    met: tuple[int, ...]
    eligible: int = 0
    good: int = 0
    tokens: int | None = None
    good_tokens: int | None = None
    unjudged: Mapping[Unjudged, int] = field(default_factory=dict)
