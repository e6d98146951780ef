"""Request records from engines' spans."""

import math
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.engines.profile import Profile
from goodwatt.engines.spans import SpanRule, span_rules
from goodwatt.model.engine import Outcome
from goodwatt.model.request import Dropped, RequestRecord
from tests.engines.golden import HERE, PROFILES
from tests.fakes.otlp import SGLANG_SPANS, VLLM, Row, rows, vllm_row

RULE_OF = span_rules(PROFILES.values())


def record(row: Row) -> RequestRecord | None:
    """The record, or None if the span is not a request or is incomplete."""
    rule = RULE_OF(row["name"])
    attributes = {} if rule is None else {k: v for k, v in row["attributes"].items() if k in rule.attribute_names}
    if rule is None or not rule.is_request(attributes):
        return None
    return rule.record("s", row["start_ns"], attributes)


def rule() -> SpanRule:
    found = RULE_OF("llm_request")
    assert found is not None
    return found


def test_vllm_spans() -> None:
    """Each of 40 real spans is one success with its latencies and tokens, TPOT from the decode time, and no model."""
    for row in VLLM:
        expected, found = row["attributes"], record(row)
        assert found == RequestRecord(
            server="s",
            model="",
            arrival_unix_seconds=row["start_ns"] / 1e9,
            e2e_seconds=expected["gen_ai.latency.e2e"],
            outcome=Outcome.SUCCESS,
            ttft_seconds=expected["gen_ai.latency.time_to_first_token"],
            tpot_seconds=expected["gen_ai.latency.time_in_model_decode"] / 47,
            prompt_tokens=expected["gen_ai.usage.prompt_tokens"],
            cached_prompt_tokens=None,
            generated_tokens=48,
        )
        assert found.tpot_seconds == pytest.approx((found.e2e_seconds - found.ttft_seconds) / 47, rel=0.02)


def about(seconds: float) -> Any:
    """Equality within the resolution of a monotonic clock in seconds."""
    return pytest.approx(seconds, abs=1e-9)


def test_sglang_spans() -> None:
    """Root spans are requests: stop and length are successes, abort or no reason is cancelled.

    Child spans, health checks and prefill halves are not requests.
    """
    found = [one for row in rows(SGLANG_SPANS) if (one := record(row)) is not None]
    summary = [(one.outcome, one.ttft_seconds, one.tpot_seconds, one.generated_tokens) for one in found]
    assert summary == [
        (Outcome.SUCCESS, about(0.25), about(0.02), 26),
        (Outcome.SUCCESS, about(0.5), about(1 / 63), 64),
        (Outcome.CANCELLED, about(0.2), about(0.025), 9),
        (Outcome.CANCELLED, None, None, None),
        (Outcome.SUCCESS, about(0.125), None, 1),
        (Outcome.SUCCESS, about(0.3), about(0.05), 13),
    ]
    assert (found[0].model, found[0].prompt_tokens, found[0].cached_prompt_tokens) == (
        "meta-llama/Llama-3.1-8B-Instruct",
        120,
        64,
    )


def test_an_engine_with_spans_has_spans_in_the_tests() -> None:
    """Every profile with spans has a captured file of them, and no two shipped profiles share a name."""
    names = [name for one in PROFILES.values() if one.spans is not None for name in one.spans.names]
    assert len(names) == len(set(names))
    for name, profile in PROFILES.items():
        if profile.spans is not None:
            files = list(HERE.glob(f"{name}/*/*.jsonl"))
            assert files, f"{name} has no spans in tests/engines"
            assert all(any(record(row) is not None for row in rows(file)) for file in files)


def test_without_a_decode_time_tpot_is_e2e_less_ttft() -> None:
    """Without a decode time, TPOT is (e2e - TTFT) / (tokens - 1); a first token after the end makes it 0."""
    found = record(vllm_row(1, ttft=0.5, tpot=0.1, tokens=6, gen_ai__latency__time_in_model_decode=None))
    assert found is not None and found.tpot_seconds == pytest.approx(0.1)
    late = record(vllm_row(1, gen_ai__latency__time_in_model_decode=None, gen_ai__latency__e2e=0.05))
    assert late is not None and late.tpot_seconds == 0.0


def test_missing_attributes_are_unknown() -> None:
    """Missing tokens and latencies are None; zero tokens means no TTFT; a duration is required."""
    bare = record(
        vllm_row(
            1,
            gen_ai__latency__time_to_first_token=None,
            gen_ai__latency__time_in_model_decode=None,
            gen_ai__usage__prompt_tokens=None,
            gen_ai__usage__completion_tokens=None,
        )
    )
    assert bare is not None
    assert (bare.ttft_seconds, bare.tpot_seconds, bare.prompt_tokens, bare.generated_tokens) == (None,) * 4
    embedded = record(vllm_row(1, gen_ai__usage__completion_tokens=0))
    assert embedded is not None
    assert (embedded.ttft_seconds, embedded.tpot_seconds, embedded.generated_tokens) == (None, None, 0)
    assert record(vllm_row(1, gen_ai__latency__e2e=None)) is None
    assert record({**vllm_row(1), "start_ns": 0}) is None


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "0.1", True, 1e12])
def test_invalid_latencies_are_missing(value: Any) -> None:
    """Negative, infinite, huge and textual latencies count as missing."""
    assert record(vllm_row(1, gen_ai__latency__e2e=value)) is None
    found = record(vllm_row(1, gen_ai__latency__time_to_first_token=value))
    assert found is not None and found.ttft_seconds is None


@pytest.mark.parametrize(("value", "tokens"), [(7, 7), (7.0, 7), (7.5, None), (-1, None), ("7", None), (True, None)])
def test_tokens_are_whole(value: Any, tokens: int | None) -> None:
    """A token count is an integer >= 0, or unknown."""
    found = record(vllm_row(1, gen_ai__usage__prompt_tokens=value))
    assert found is not None and found.prompt_tokens == tokens


def vllm_with_spans(spans: dict[str, Any]) -> Profile:
    """vLLM's profile with other spans, as an operator may write them."""
    shown = PROFILES["vllm"].model_dump(mode="json")
    return Profile.model_validate_json(Profile.model_validate({**shown, "spans": spans}).model_dump_json())


def test_a_custom_engine_needs_no_python() -> None:
    """Milliseconds, other attribute names, and outcomes from a word or a list are all configuration."""
    outcome = {
        "attribute": "end",
        "values": {"ok": "success", "gone": "cancelled"},
        "otherwise": "error",
        "absent": "error",
    }
    spans = {"names": ["gen*"], "scale": 0.001, "e2e_seconds": ["x", "ms"], "model": ["m"], "outcome": outcome}
    found = span_rules([vllm_with_spans(spans)])("generate")
    assert found is not None

    def parsed(**attributes: Any) -> tuple[Any, ...]:
        one = found.record("s", 1, {"ms": 1500, **attributes})
        assert one is not None
        return one.e2e_seconds, one.model, one.outcome

    assert parsed(end="ok", m="toy") == (1.5, "toy", Outcome.SUCCESS)
    assert parsed(end='["gone", "ok"]', m=7) == (1.5, "", Outcome.CANCELLED)
    assert parsed(end="[]", m="x" * 257) == parsed(end="[") == parsed(end="new") == parsed() == (1.5, "", Outcome.ERROR)
    rule = span_rules([vllm_with_spans({**spans, "outcome": "error"})])("gen")
    assert rule.record("s", 1, {"x": 1}).outcome is Outcome.ERROR  # type: ignore[union-attr]


def test_the_first_profile_that_names_a_span_reads_it() -> None:
    """An operator's profile takes precedence over shipped ones."""
    mine = vllm_with_spans({"names": ["llm_request"], "e2e_seconds": ["mine"]})
    found = span_rules([replace_name(mine), *PROFILES.values()])("llm_request")
    assert found is not None and found.attribute_names == {"mine"}
    assert span_rules([])("llm_request") is None


def replace_name(profile: Profile) -> Profile:
    return profile.model_copy(update={"name": "mine"})


values = st.one_of(st.text(), st.integers(), st.floats(), st.booleans())


@given(
    attributes=st.dictionaries(st.sampled_from(sorted(rule().attribute_names)), values), start=st.integers(0, 1 << 64)
)
def test_any_attributes_make_a_sane_record_or_none(attributes: dict[str, Any], start: int) -> None:
    """Arbitrary span attributes raise nothing and give finite, non-negative values only."""
    found = rule().record("s", start, attributes)
    if found is not None:
        for seconds in (found.e2e_seconds, found.ttft_seconds, found.tpot_seconds):
            assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
        for tokens in (found.prompt_tokens, found.cached_prompt_tokens, found.generated_tokens):
            assert tokens is None or (type(tokens) is int and tokens >= 0)
        assert replace(found, server="t").server == "t"


DOCUMENT = (HERE.parents[1] / "docs" / "otlp.md").read_text()


def test_the_documented_example_is_valid() -> None:
    """The `spans` example in docs/otlp.md is valid in a profile."""
    example = yaml.safe_load(DOCUMENT.rpartition("```yaml\n")[2].partition("```")[0])
    found = span_rules([vllm_with_spans(example["spans"])])("gen 7")
    assert found is not None and not found.is_request({"request.kind": "health-1"})
    parsed = found.record("s", 1, {"latency.total": 1500, "finish": "abort"})
    assert parsed is not None and (parsed.e2e_seconds, parsed.outcome) == (1.5, Outcome.CANCELLED)


def test_every_reason_is_documented() -> None:
    """docs/otlp.md lists every drop reason except `refused`, which only the proxy uses."""
    assert [why for why in Dropped if f"\n| `{why}` |" not in DOCUMENT] == [Dropped.REFUSED]
