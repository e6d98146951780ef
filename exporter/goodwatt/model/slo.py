"""SLOs: named sets of latency thresholds with an objective share."""

from dataclasses import dataclass
from enum import StrEnum

from goodwatt.model.engine import Signal


class Bound(StrEnum):
    """What a count of good requests is: LOWER and UPPER are proved from histograms, EXACT is from request records."""

    LOWER = "lower"
    UPPER = "upper"
    EXACT = "exact"


class OneTokenOutputs(StrEnum):
    """How an SLO with a TPOT threshold judges a success with at most one output token, which has no TPOT."""

    PASS = "pass"  # noqa: S105 - meets the threshold
    FAIL = "fail"  # does not meet it
    EXCLUDE = "exclude"  # the request is not eligible


class Errors(StrEnum):
    """How an SLO judges a request that ended with Outcome.ERROR."""

    FAIL = "fail"  # eligible and not good
    EXCLUDE = "exclude"


class Cancelled(StrEnum):
    """How an SLO judges a request that ended with Outcome.CANCELLED."""

    EXCLUDE = "exclude"
    FAIL = "fail"  # eligible and not good


@dataclass(frozen=True, slots=True)
class Threshold:
    """A request meets it if its latency is <= `seconds`. `signal` is TTFT, TPOT or E2E."""

    signal: Signal
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """A request is good if it succeeded and met every threshold; `objective` is the target share of good requests.

    Conventions apply in this order: the outcome first (`errors`, `cancelled`); then, to successes under a TPOT
    threshold, `one_token_outputs`. A request that one of them excludes is not eligible.
    """

    name: str
    thresholds: tuple[Threshold, ...]
    objective: float
    models: tuple[str, ...] = ("*",)  # shell patterns over the served model name
    servers: tuple[str, ...] = ("*",)
    one_token_outputs: OneTokenOutputs = OneTokenOutputs.PASS
    errors: Errors = Errors.FAIL
    cancelled: Cancelled = Cancelled.EXCLUDE
    is_default: bool = False  # in force because no SLO is configured; it never alerts
