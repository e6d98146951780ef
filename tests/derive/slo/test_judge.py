"""Totals from records: every request is judged on its own, and none without the latencies it needs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.slo import judge
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import ExactTotals, Unjudged
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from tests.derive.laws import law
from tests.fakes.readings import record

TTFT, TPOT, E2E = Signal.TTFT, Signal.TPOT, Signal.E2E
ALL = Slo(name="all", thresholds=(Threshold(TTFT, 0.5), Threshold(TPOT, 0.05), Threshold(E2E, 2.0)), objective=0.9)

records = st.lists(
    st.builds(
        record,
        st.sampled_from([None, 0.1, 0.5, 0.6]),
        st.sampled_from([None, 0.01, 0.05, 0.06]),
        st.sampled_from([1.0, 2.0, 3.0]),
        tokens=st.sampled_from([None, 0, 1, 2, 50]),
        outcome=st.sampled_from([*[Outcome.SUCCESS] * 4, Outcome.ERROR, Outcome.CANCELLED]),
    ),
    max_size=12,
)
slos = st.builds(
    Slo,
    name=st.just("slo"),
    thresholds=st.sampled_from(
        [ALL.thresholds, ALL.thresholds[:1], ALL.thresholds[1:2], ALL.thresholds[2:], ALL.thresholds[:2]]
    ),
    objective=st.just(0.9),
    one_token_outputs=st.sampled_from(OneTokenOutputs),
    errors=st.sampled_from(Errors),
    cancelled=st.sampled_from(Cancelled),
)


@pytest.mark.parametrize(
    ("case", "good", "met"),
    [
        (record(0.1, 0.01, 1.0), True, (True, True, True)),
        (record(0.5, 0.05, 2.0), True, (True, True, True)),
        (record(0.51, 0.01, 1.0), False, (False, True, True)),
        (record(0.1, 0.051, 2.1), False, (True, False, False)),
        (record(0.1, 0.01, 1.0, outcome=Outcome.ERROR), False, (False, False, False)),
    ],
)
def test_a_request_is_good_when_it_succeeded_within_every_threshold(case, good, met):
    """A latency equal to the threshold meets it; each threshold counts on its own; a failed request meets none."""
    assert judge.judge(ALL, case) == judge.Verdict(good, met)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (record(None, 0.01, 1.0), Unjudged.TTFT_UNKNOWN),
        (record(0.1, None, 1.0), Unjudged.TPOT_UNKNOWN),
        (record(0.1, None, 1.0, tokens=None), Unjudged.TPOT_UNKNOWN),
        (record(None, None, 1.0, tokens=0), Unjudged.TTFT_UNKNOWN),
        (record(None, 0.01, 99.0), Unjudged.TTFT_UNKNOWN),
    ],
)
def test_a_request_with_an_unknown_latency_is_unjudged(case, why):
    """A success that lacks a latency under a threshold is neither good nor bad, even if it missed another threshold,
    and is counted by the missing latency."""
    totals = judge.count_records(judge.zero_totals(ALL), ALL, [case])
    assert (totals.eligible, totals.good, totals.unjudged) == (0, 0, {why: 1})


def test_a_latency_without_a_threshold_may_be_unknown():
    """A response in one piece is judged by an SLO on its duration."""
    slow = Slo(name="slow", thresholds=(Threshold(E2E, 2.0),), objective=0.9)
    assert judge.judge(slow, record(None, None, 1.0, tokens=None)).good


def test_tokens_are_counted_where_records_have_them():
    """Tokens of eligible and of good requests add up over records that have them; before any has, they are unknown, not
    0."""
    none = judge.count_records(judge.zero_totals(ALL), ALL, [record(0.6, None, 1.0, tokens=1, outcome=Outcome.ERROR)])
    assert (none.tokens, none.good_tokens) == (1, 0)
    e2e = Slo(name="e2e", thresholds=(Threshold(E2E, 2.0),), objective=0.9)
    unknown = judge.count_records(judge.zero_totals(e2e), e2e, [record(tokens=None)])
    assert (unknown.good, unknown.tokens, unknown.good_tokens) == (1, None, None)
    some = judge.count_records(unknown, e2e, [record(tokens=7), record(e2e=3.0, tokens=5)])
    assert (some.good, some.tokens, some.good_tokens) == (2, 12, 7)


@law(300)
@given(records, slos)
def test_totals_add_up(records, slo):
    """good <= each threshold's count <= eligible, good tokens <= tokens, and eligible + unjudged is every record."""
    totals = judge.count_records(judge.zero_totals(slo), slo, records)
    assert all(0 <= totals.good <= met <= totals.eligible for met in totals.met)
    assert totals.eligible + sum(totals.unjudged.values()) == len(records)
    assert (totals.good_tokens or 0) <= (totals.tokens or 0)
    if len(slo.thresholds) == 1:
        assert totals.met == (totals.good,)


@law(200)
@given(records, slos, st.integers(0, 12))
def test_batches_do_not_matter(records, slo, cut):
    """Any split of records into ticks gives the same totals."""
    whole = judge.count_records(judge.zero_totals(slo), slo, records)
    assert (
        judge.count_records(judge.count_records(judge.zero_totals(slo), slo, records[:cut]), slo, records[cut:])
        == whole
    )


@law(100)
@given(records, records, slos)
def test_a_window_is_a_difference_of_totals(before, after, slo):
    """Totals minus those at the window's start are the totals of the records between."""
    start = judge.count_records(judge.zero_totals(slo), slo, before)
    window, alone = (
        judge.exact_totals_since(start, judge.count_records(start, slo, after)),
        judge.count_records(judge.zero_totals(slo), slo, after),
    )
    assert (window.met, window.eligible, window.good) == (alone.met, alone.eligible, alone.good)
    assert (window.tokens or 0, window.good_tokens or 0) == (alone.tokens or 0, alone.good_tokens or 0)


def test_unknown_tokens_stay_unknown_in_a_window():
    """Unknown minus unknown is unknown."""
    assert judge.exact_totals_since(ExactTotals(met=(0,)), ExactTotals(met=(1,), eligible=1, good=1)).tokens is None
