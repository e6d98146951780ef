import subprocess
import sys
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from goodwatt.engines import known_engines, load_profile, load_profiles, shipped_profile
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineTraits, Moves, OneToken, Signal

MINIMAL = """
name: toy
title: Toy
ports: [9999]
detect: {any_of: ["toy_*"]}
labels: {model: [model]}
traits: {tokens_move: step, one_token_tpot: zero}
signals:
  generated_tokens:
    - sum: [{metric: toy_tokens_total}]
"""


def with_(**changes: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(MINIMAL) | changes)


def test_shipped_profiles_load() -> None:
    """Every shipped profile is valid, has its file's name, and is in known_engines."""
    assert tuple(load_profiles()) == known_engines()
    assert {"llamacpp", "sglang", "trtllm", "vllm"} < set(known_engines())
    assert all(profile.name == name for name, profile in load_profiles().items())


APHRODITE = "{name: aphrodite, title: Aphrodite, like: vllm, prefix: aphrodite, ports: [2242]}"


def test_a_fork_is_like_its_engine() -> None:
    """A fork has the engine's keys, its metrics under its own prefix, and the keys that it writes itself."""
    fork, engine = load_profile(APHRODITE), shipped_profile("vllm")
    assert (fork.name, fork.ports, fork.traits, fork.spans) == ("aphrodite", (2242,), engine.traits, engine.spans)
    assert fork.detect.any_of == ("aphrodite:*",)
    renamed = {name.replace("vllm:", "aphrodite:") for name in engine.all_sample_names()}
    assert fork.all_sample_names() == renamed
    assert "process_start_time_seconds" in renamed


@pytest.mark.parametrize(("prefix", "name"), [("x", "x:prompt_tokens_total"), ("x_", "x_prompt_tokens_total")])
def test_the_separator_of_a_prefix(prefix: str, name: str) -> None:
    """A prefix without a separator is followed by a colon."""
    assert name in load_profile(f"{{name: x, title: X, like: vllm, prefix: {prefix}}}").all_sample_names()


def test_like_without_a_prefix() -> None:
    """Without a prefix only the keys that are written differ."""
    named = load_profile("{name: mine, title: Mine, like: llamacpp, model_name_from: null}")
    assert named == shipped_profile("llamacpp").model_copy(
        update={"name": "mine", "title": "Mine", "like": "llamacpp", "model_name_from": None}
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("like: vlm", "'vlm' is not a shipped profile"),
        ("like: 7", "7 is not a shipped profile"),
        ("prefix: x", "prefix needs like"),
        ("like: nim, prefix: x", "the metrics of nim have no common prefix"),
    ],
)
def test_a_fork_of_nothing(keys: str, message: str) -> None:
    """What cannot be expanded is rejected with a message that names the key."""
    with pytest.raises(ValidationError, match=message):
        load_profile(f"{{name: x, title: X, {keys}}}")


def test_shipped_profiles_are_parsed_once() -> None:
    """A profile is parsed at first use and shared afterwards, so a reload costs nothing."""
    assert load_profiles()["vllm"] is shipped_profile("vllm") is shipped_profile("vllm")


def test_profiles_load_without_a_network_stack() -> None:
    """A short command that needs a profile imports neither an event loop nor TLS nor aiohttp."""
    loaded = "print(*{'aiohttp', 'asyncio', 'ssl'} & {*sys.modules})"
    code = f"import sys; from goodwatt.engines import shipped_profile; shipped_profile('vllm'); {loaded}"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_minimal_profile() -> None:
    """A profile needs a name, a detect condition, traits and one signal."""
    profile = load_profile(MINIMAL)
    assert profile.path == "/metrics"
    assert profile.default_model == "default"
    assert profile.all_sample_names() == {"toy_tokens_total"}
    assert profile.metrics_of(Signal.TTFT) == frozenset()
    assert profile.engine_traits() == EngineTraits(
        tokens_move=Moves.STEP, one_token_tpot=OneToken.ZERO, prompt_includes_cached=True
    )


def test_histogram_needs_three_names() -> None:
    """A histogram needs the sample names of its buckets, count and sum."""
    profile = load_profile(with_(signals={"ttft": [{"sum": [{"metric": "toy_ttft_seconds"}]}]}))
    assert profile.all_sample_names() == {"toy_ttft_seconds_bucket", "toy_ttft_seconds_count", "toy_ttft_seconds_sum"}


def test_less_and_version_are_needed() -> None:
    """A subtracted metric and the version metric are needed too."""
    term = {"metric": "toy_done_total", "less": "toy_aborted_total", "outcome": "success"}
    profile = load_profile(with_(signals={"requests": [{"sum": [term]}]}, version_label=["toy_info", "version"]))
    assert profile.all_sample_names() == {"toy_done_total", "toy_aborted_total", "toy_info"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Toy!"}, "pattern"),
        ({"ports": [0]}, "greater than or equal to 1"),
        ({"ports": ["8000"]}, "valid integer"),
        ({"path": "metrics"}, "pattern"),
        ({"detect": {}}, "any_of or all_of must name at least one metric"),
        ({"detect": {"none_of": ["a"]}}, "any_of or all_of must name at least one metric"),
        ({"detect": {"any_of": ["a*b"]}}, "pattern"),
        ({"formula": "a + b"}, "Extra inputs are not permitted"),
        ({"signals": {"watts": [{"sum": [{"metric": "a"}]}]}}, "Input should be 'prompt_tokens'"),
        ({"signals": {"ttft": []}}, "at least 1 item"),
        ({"signals": {"ttft": [{"sum": []}]}}, "at least 1 item"),
        ({"signals": {"ttft": [{"sum": [{"metric": "a b"}]}]}}, "pattern"),
        ({"signals": {"ttft": [{"sum": [{"metric": "a", "scale": 0.0}]}]}}, "greater than 0"),
        ({"signals": {"ttft": [{"sum": [{"metric": "a", "scale": float("inf")}]}]}}, "finite"),
        ({"signals": {"requests": [{"sum": [{"metric": "a"}]}]}}, "signals.requests: a needs an outcome"),
        ({"signals": {"ttft": [{"sum": [{"metric": "a", "outcome": "error"}]}]}}, "outcome and less are for requests"),
        ({"signals": {"ttft": [{"sum": [{"metric": "a", "less": "b"}]}]}}, "outcome and less are for requests"),
        (
            {
                "signals": {
                    "requests": [
                        {
                            "sum": [
                                {
                                    "metric": "a",
                                    "less": "b",
                                    "outcome": {"label": "r", "values": {}, "otherwise": "success"},
                                }
                            ]
                        }
                    ]
                }
            },
            "less needs one outcome for all of a",
        ),
        ({"switched_off": [{"advice": "x"}]}, "set exactly one of status and page"),
        (
            {"switched_off": [{"advice": "x", "status": 404, "page": {"any_of": ["a"]}}]},
            "set exactly one of status and page",
        ),
        (
            {"switched_off": [{"advice": "x", "page": {"any_of": ["a"]}, "body_contains": "y"}]},
            "body_contains needs status",
        ),
        ({"default_edges": {"ttft": [0]}}, "greater than 0"),
        ({"detect": {"any_of": ["a{b}*"]}}, "pattern"),
        ({"signals": {"itl": [{"sum": [{"metric": "a"}]}]}}, "signals.itl needs per: token or step"),
        ({"signals": {"itl": [{"sum": [{"metric": "a"}], "per": "request"}]}}, "per: request is only for tpot"),
        (
            {"signals": {"tpot": [{"sum": [{"metric": "a"}], "per": "step"}]}},
            "signals.tpot: per: token and per: step are only for itl",
        ),
        (
            {"signals": {"ttft": [{"sum": [{"metric": "a"}], "per": "token"}]}},
            "signals.ttft: per: token and per: step are only for itl",
        ),
        ({"signals": {"tpot": [{"sum": [{"metric": "a"}], "per": "iteration"}]}}, "Input should be 'request', 'token'"),
        (
            {"signals": {"tpot": [{"sum": [{"metric": "a"}]}]}, "traits": {"tokens_move": "step"}},
            "signals.tpot needs traits.one_token_tpot",
        ),
    ],
)
def test_invalid_profiles_are_rejected(change: dict[str, Any], message: str) -> None:
    """An invalid profile is rejected with a message that names the fault."""
    with pytest.raises(ValidationError, match="validation error") as caught:
        load_profile(with_(**change))
    assert message in str(caught.value)


def test_traits_reach_the_reading() -> None:
    """A profile's traits for stale gauges and one-token outputs reach its readings; defaults are the safe choice."""
    stale = {"tokens_move": "finish", "running_is_current": False}
    assert load_profile(with_(traits=stale)).engine_traits() == EngineTraits(
        tokens_move=Moves.FINISH, one_token_tpot=OneToken.SKIPPED, prompt_includes_cached=True, running_is_current=False
    )


@pytest.mark.parametrize("profile", load_profiles().values(), ids=load_profiles().keys())
def test_resettable_gauges_are_never_read(profile: Profile) -> None:
    """No profile reads a gauge reset by scrapes, an average, or a windowed rate."""
    forbidden = ("_rate", "tokens_seconds", "throughput", "avg_", "_hit_rate", "_qps", "last_", "summary")
    assert not [name for name in profile.all_sample_names() if any(word in name for word in forbidden)]


def test_profile_schema_describes_itself() -> None:
    """The profile's JSON schema can be generated for docs and editors."""
    assert set(Profile.model_json_schema()["required"]) >= {"name", "detect", "signals", "traits"}
