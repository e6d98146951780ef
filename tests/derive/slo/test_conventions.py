"""Settings reproduce the rule of each public load generator: the same records give the same counts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.derive.slo import judge
from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.exact_totals import Unjudged
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Cancelled, Errors, OneTokenOutputs, Slo, Threshold
from tests.derive import bench_rules
from tests.derive.laws import law
from tests.fakes.readings import record

LIMITS = (Threshold(Signal.TTFT, 0.5), Threshold(Signal.TPOT, 0.25), Threshold(Signal.E2E, 2.0))
PASS, FAIL, EXCLUDE = OneTokenOutputs.PASS, OneTokenOutputs.FAIL, OneTokenOutputs.EXCLUDE
DEFAULT = Slo(name="default", thresholds=LIMITS, objective=0.9)

# Which settings make goodwatt count as the tool does. inference-perf judges one token as AIPerf does, under TPOT.
TOOLS: dict[str, tuple[Callable[[Slo, list[RequestRecord]], tuple[int, int]], Slo]] = {
    "vllm bench serve": (bench_rules.vllm_bench, replace(DEFAULT, errors=Errors.EXCLUDE)),
    "aiperf": (bench_rules.aiperf, replace(DEFAULT, one_token_outputs=FAIL, cancelled=Cancelled.FAIL)),
    "guidellm": (bench_rules.guidellm, replace(DEFAULT, one_token_outputs=EXCLUDE, errors=Errors.EXCLUDE)),
    "inference-perf": (bench_rules.inference_perf, replace(DEFAULT, one_token_outputs=FAIL, errors=Errors.EXCLUDE)),
}


def answered(ttft: float, tpot: float, tokens: int, outcome: Outcome) -> RequestRecord:
    """A streamed response. Of a failed request only its end is known."""
    if outcome is not Outcome.SUCCESS:
        return record(None, None, ttft, tokens=None, outcome=outcome)
    e2e = ttft + tpot * (tokens - 1)
    return record(ttft, tpot if tokens > 1 else None, e2e, tokens=tokens)


streams = st.lists(
    st.builds(
        answered,
        st.sampled_from([0.25, 0.5, 0.75]),
        st.sampled_from([0.125, 0.25, 0.5]),
        st.sampled_from([1, 1, 2, 5, 9]),
        st.sampled_from([*[Outcome.SUCCESS] * 5, Outcome.ERROR, Outcome.CANCELLED]),
    ),
    max_size=12,
)
some_limits = st.sampled_from([LIMITS, LIMITS[:2], (LIMITS[1],), LIMITS[1:]])
ONE_OF_EACH = [
    answered(0.25, 0.125, 5, Outcome.SUCCESS),
    answered(0.75, 0.125, 5, Outcome.SUCCESS),
    answered(0.5, 0.25, 5, Outcome.SUCCESS),
    answered(0.25, 0.0, 1, Outcome.SUCCESS),
    answered(0.75, 0.0, 1, Outcome.SUCCESS),
    answered(0.25, 0.0, 1, Outcome.ERROR),
    answered(0.25, 0.0, 1, Outcome.CANCELLED),
]
EXPECTED = {"vllm bench serve": (3, 5), "aiperf": (2, 7), "guidellm": (2, 3), "inference-perf": (2, 5)}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_counts_differently(tool: str) -> None:
    """Seven requests, counted by hand: the transcribed rules and goodwatt's settings give these numbers."""
    rule, slo = TOOLS[tool]
    assert rule(slo, ONE_OF_EACH) == EXPECTED[tool]
    totals = judge.count_records(judge.zero_totals(slo), slo, ONE_OF_EACH)
    assert (totals.good, totals.eligible) == EXPECTED[tool]


@pytest.mark.parametrize("tool", TOOLS)
@law(150)
@given(records=streams, limits=some_limits)
def test_the_fold_follows_each_tools_rule(
    tool: str, records: list[RequestRecord], limits: tuple[Threshold, ...]
) -> None:
    """For any requests, goodwatt's counts under a tool's settings are the tool's counts."""
    rule, slo = TOOLS[tool]
    slo = replace(slo, thresholds=limits)
    totals = judge.count_records(judge.zero_totals(slo), slo, records)
    assert (totals.good, totals.eligible) == rule(slo, records)


@pytest.mark.parametrize(
    ("change", "outcome", "tokens", "verdict"),
    [
        ({}, Outcome.SUCCESS, 1, True),
        ({"one_token_outputs": FAIL}, Outcome.SUCCESS, 1, False),
        ({"one_token_outputs": EXCLUDE}, Outcome.SUCCESS, 1, Unjudged.ONE_TOKEN),
        ({}, Outcome.SUCCESS, 0, True),
        ({}, Outcome.ERROR, 10, False),
        ({"errors": Errors.EXCLUDE}, Outcome.ERROR, 10, Unjudged.ERROR),
        ({}, Outcome.CANCELLED, 10, Unjudged.CANCELLED),
        ({"cancelled": Cancelled.FAIL}, Outcome.CANCELLED, 10, False),
        ({"one_token_outputs": EXCLUDE, "errors": Errors.FAIL}, Outcome.ERROR, 1, False),
    ],
)
def test_conventions(change: dict[str, object], outcome: Outcome, tokens: int, verdict: bool | Unjudged) -> None:
    """The outcome is judged first, then the one-token convention under a TPOT threshold; excluded requests are counted
    by reason."""
    slo = replace(DEFAULT, **change)  # type: ignore[arg-type]
    judged = judge.judge(slo, record(0.1, None if tokens < 2 else 0.1, 1.0, tokens=tokens, outcome=outcome))
    assert judged.unjudged == (verdict if isinstance(verdict, Unjudged) else None)
    assert judged.good is (verdict is True)


def test_without_a_tpot_threshold_one_token_outputs_are_ordinary() -> None:
    """The convention affects TPOT only."""
    slo = replace(DEFAULT, thresholds=LIMITS[:1], one_token_outputs=EXCLUDE)
    assert judge.judge(slo, record(0.1, None, 1.0, tokens=1)).good
