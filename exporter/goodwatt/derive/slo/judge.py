"""Judge single requests against an SLO, each from its own record."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from goodwatt.derive.counters import add_counts
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals, Unjudged
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold


class Verdict(NamedTuple):
    """`met` is in the order of Slo.thresholds. With `unjudged` set the request is neither eligible nor good."""

    good: bool = False
    met: tuple[bool, ...] = ()
    unjudged: Unjudged | None = None


def judge(slo: Slo, record: RequestRecord) -> Verdict:
    """Judge the outcome first, then every threshold.

    A success is unjudged if its record lacks a latency that the SLO has a threshold for, even if it missed another
    threshold: counting it only when provably bad would bias the share of good requests down.
    """
    if record.outcome is not Outcome.SUCCESS:
        return _judge_failure(slo, record.outcome)
    met: list[bool] = []
    for threshold in slo.thresholds:
        answer = _meets(slo, threshold, record)
        if isinstance(answer, Unjudged):
            return Verdict(unjudged=answer)
        met.append(answer)
    return Verdict(all(met), tuple(met))


def _judge_failure(slo: Slo, outcome: Outcome) -> Verdict:
    if outcome in (Outcome.ERROR, Outcome.REJECTED) and slo.errors is Errors.EXCLUDE:
        return Verdict(unjudged=Unjudged.ERROR)
    if outcome is Outcome.CANCELLED and slo.cancelled is Cancelled.EXCLUDE:
        return Verdict(unjudged=Unjudged.CANCELLED)
    return Verdict(met=(False,) * len(slo.thresholds))


def _meets(slo: Slo, threshold: Threshold, record: RequestRecord) -> bool | Unjudged:
    tokens = record.generated_tokens
    if threshold.signal is Signal.TPOT and tokens is not None and tokens < 2:
        return _ONE_TOKEN[slo.one_token_outputs]
    seconds = record_latency(record, threshold.signal)
    return _UNKNOWN[threshold.signal] if seconds is None else seconds <= threshold.seconds


_ONE_TOKEN: dict[OneTokenOutputs, bool | Unjudged] = {
    OneTokenOutputs.PASS: True,
    OneTokenOutputs.FAIL: False,
    OneTokenOutputs.EXCLUDE: Unjudged.ONE_TOKEN,
}
_UNKNOWN = {Signal.TTFT: Unjudged.TTFT_UNKNOWN, Signal.TPOT: Unjudged.TPOT_UNKNOWN}


def record_latency(record: RequestRecord, signal: Signal) -> float | None:
    """Return the record's TTFT, TPOT or E2E in seconds; None where it is unknown."""
    if signal is Signal.E2E:
        return record.e2e_seconds
    return record.ttft_seconds if signal is Signal.TTFT else record.tpot_seconds


def zero_totals(slo: Slo) -> ExactTotals:
    """Return totals of 0 for the SLO's thresholds."""
    return ExactTotals(met=(0,) * len(slo.thresholds))


def count_records(totals: ExactTotals, slo: Slo, records: Sequence[RequestRecord]) -> ExactTotals:
    """Add these records to the totals. The result does not depend on how records are split into calls."""
    verdicts = [judge(slo, record) for record in records]
    numbers = Counter(verdicts)
    judged = [(verdict, number) for verdict, number in numbers.items() if verdict.unjudged is None]
    unjudged = {verdict.unjudged: number for verdict, number in numbers.items() if verdict.unjudged is not None}
    tokens = [
        (record.generated_tokens, verdict.good)
        for record, verdict in zip(records, verdicts, strict=True)
        if verdict.unjudged is None and record.generated_tokens is not None
    ]
    return ExactTotals(
        met=tuple(before + sum(v.met[at] * number for v, number in judged) for at, before in enumerate(totals.met)),
        eligible=totals.eligible + sum(number for _, number in judged),
        good=totals.good + sum(verdict.good * number for verdict, number in judged),
        tokens=_plus(totals.tokens, [generated for generated, _ in tokens]),
        good_tokens=_plus(totals.good_tokens, [generated * good for generated, good in tokens]),
        unjudged=add_counts(totals.unjudged, unjudged),
    )


def _plus(total: int | None, parts: Sequence[int]) -> int | None:
    return (total or 0) + sum(parts) if parts else total


def exact_totals_since(start: ExactTotals, now: ExactTotals) -> ExactTotals:
    """Return the counts after `start`, without the unjudged requests."""
    met = tuple(b - a for a, b in zip(start.met, now.met, strict=True))
    tokens = None if now.tokens is None else now.tokens - (start.tokens or 0)
    good_tokens = None if now.good_tokens is None else now.good_tokens - (start.good_tokens or 0)
    return ExactTotals(
        met=met,
        eligible=now.eligible - start.eligible,
        good=now.good - start.good,
        tokens=tokens,
        good_tokens=good_tokens,
    )
