"""Whether a request kept an objective, told from its own record."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from goodwatt.derive.counters import plus
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals, Unjudged
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold


class Verdict(NamedTuple):
    """`met` is in the order of Slo.thresholds. With `unjudged` set the request is on neither side."""

    good: bool = False
    met: tuple[bool, ...] = ()
    unjudged: Unjudged | None = None


def judge(slo: Slo, record: RequestRecord) -> Verdict:
    """The outcome first, then every threshold. A success whose record lacks a latency that the objective names is
    unjudged, even where another threshold was missed: else those without it could be told bad, but never good.
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
    if outcome is Outcome.ERROR and slo.errors is Errors.EXCLUDE:
        return Verdict(unjudged=Unjudged.ERROR)
    if outcome is Outcome.CANCELLED and slo.cancelled is Cancelled.EXCLUDE:
        return Verdict(unjudged=Unjudged.CANCELLED)
    return Verdict(met=(False,) * len(slo.thresholds))


def _meets(slo: Slo, threshold: Threshold, record: RequestRecord) -> bool | Unjudged:
    tokens = record.generated_tokens
    if threshold.signal is Signal.TPOT and tokens is not None and tokens < 2:
        return _ONE_TOKEN[slo.one_token_outputs]
    seconds = latency(record, threshold.signal)
    return _UNKNOWN[threshold.signal] if seconds is None else seconds <= threshold.seconds


_ONE_TOKEN: dict[OneTokenOutputs, bool | Unjudged] = {
    OneTokenOutputs.PASS: True,
    OneTokenOutputs.FAIL: False,
    OneTokenOutputs.EXCLUDE: Unjudged.ONE_TOKEN,
}
_UNKNOWN = {Signal.TTFT: Unjudged.TTFT_UNKNOWN, Signal.TPOT: Unjudged.TPOT_UNKNOWN}


def latency(record: RequestRecord, signal: Signal) -> float | None:
    """What the record says of TTFT, TPOT or E2E."""
    if signal is Signal.E2E:
        return record.e2e_seconds
    return record.ttft_seconds if signal is Signal.TTFT else record.tpot_seconds


def blank(slo: Slo) -> ExactTotals:
    """Where totals begin."""
    return ExactTotals(met=(0,) * len(slo.thresholds))


def count(totals: ExactTotals, slo: Slo, records: Sequence[RequestRecord]) -> ExactTotals:
    """The totals with these records added. Any way to divide records into calls gives the same."""
    verdicts = [judge(slo, record) for record in records]
    kinds = Counter(verdicts)
    judged = [(verdict, number) for verdict, number in kinds.items() if verdict.unjudged is None]
    records_since = [
        (record.generated_tokens, verdict.good)
        for record, verdict in zip(records, verdicts, strict=True)
        if verdict.unjudged is None and record.generated_tokens is not None
    ]
    return ExactTotals(
        met=tuple(before + sum(v.met[at] * number for v, number in judged) for at, before in enumerate(totals.met)),
        eligible=totals.eligible + sum(number for _, number in judged),
        good=totals.good + sum(verdict.good * number for verdict, number in judged),
        tokens=_plus(totals.tokens, [tokens for tokens, _ in records_since]),
        good_tokens=_plus(totals.good_tokens, [tokens * good for tokens, good in records_since]),
        unjudged=plus(totals.unjudged, {v.unjudged: number for v, number in kinds.items() if v.unjudged is not None}),
    )


def _plus(total: int | None, parts: Sequence[int]) -> int | None:
    return (total or 0) + sum(parts) if parts else total


def since(start: ExactTotals, now: ExactTotals) -> ExactTotals:
    """What was counted after `start`, but for the unjudged."""
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
