"""Service level objectives: named sets of latency thresholds."""

from dataclasses import dataclass
from enum import StrEnum

from goodwatt.model.engine import Signal


class Bound(StrEnum):
    """What a figure can promise: marginal histograms give LOWER and UPPER, per-request records give EXACT."""

    LOWER = "lower"
    UPPER = "upper"
    EXACT = "exact"


class OneTokenOutputs(StrEnum):
    """How an objective with a TPOT threshold judges a success of one output token or none: it has no TPOT."""

    PASS = "pass"  # noqa: S105 - meets the threshold
    FAIL = "fail"  # does not meet it
    EXCLUDE = "exclude"  # the request is in neither side of goodput


class Errors(StrEnum):
    """How an objective judges a request that ended with Outcome.ERROR."""

    FAIL = "fail"  # eligible and not good
    EXCLUDE = "exclude"


class Cancelled(StrEnum):
    """How an objective judges a request that ended with Outcome.CANCELLED."""

    EXCLUDE = "exclude"
    FAIL = "fail"  # eligible and not good


@dataclass(frozen=True, slots=True)
class Threshold:
    """A request meets it when the latency is <= `seconds`. `signal` is TTFT, TPOT or E2E."""

    signal: Signal
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """A request is good when it succeeded and meets every threshold; `objective` is the promised share of good ones.

    The conventions are asked in this order: the outcome first (`errors`, `cancelled`), and of successes, where a TPOT
    threshold is set, `one_token_outputs`. What one of them excludes is not eligible.
    """

    name: str
    thresholds: tuple[Threshold, ...]
    objective: float
    models: tuple[str, ...] = ("*",)  # shell patterns over the served model name
    servers: tuple[str, ...] = ("*",)
    one_token_outputs: OneTokenOutputs = OneTokenOutputs.PASS
    errors: Errors = Errors.FAIL
    cancelled: Cancelled = Cancelled.EXCLUDE
