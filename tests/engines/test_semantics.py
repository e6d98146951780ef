"""What the same metric name means on each engine: differences that would silently falsify figures."""

from collections import Counter

import pytest

from goodwatt.engines.profile import Per
from goodwatt.model.engine import EngineReading, Moves, Outcome, Signal
from tests.engines.golden import HERE, PROFILES, read, reading_of

TPOT_IS_ITL = ("nim/1.x/datadog-fixture", "lmdeploy/0.18.0/generated", "triton/vllm-backend/generated")


REJECTED = {"dynamo/1.6/generated": 5, "llm_d/2026-08/generated": 6}  # refused because everything behind was busy
OWN = {name: profile for name, profile in PROFILES.items() if profile.like is None}  # the others mean the same


def page(name: str) -> EngineReading:
    return read(HERE / f"{name}.prom")


def ended(reading: EngineReading) -> dict[Outcome, float]:
    return {one: sum(v for k, v in reading.counters.items() if k.outcome is one) for one in Outcome}


def signals(reading: EngineReading) -> set[Signal]:
    kinds = {key.signal for key in (*reading.counters, *reading.histograms)}
    return kinds | {signal for signal, _ in reading.gauges}


@pytest.mark.parametrize("name", TPOT_IS_ITL)
def test_time_per_output_token_that_is_itl(name: str) -> None:
    """NIM, LMDeploy and Triton's vLLM observe time_per_output_token per token or step: inter-token latency."""
    reading = page(name)
    metric = next(key.series for key in reading.histograms if key.signal is Signal.ITL)
    assert "time_per_output_token_seconds" in metric
    assert Signal.TPOT not in signals(reading)


@pytest.mark.parametrize("name", ["trtllm/2026/generated", "trtllm/1.1.0rc/generated"])
def test_time_per_output_token_that_is_a_tpot(name: str) -> None:
    """TensorRT-LLM observes the metric of that name once per request and skips one-token outputs."""
    reading = page(name)
    assert any("time_per_output_token_seconds" in k.series for k in reading.histograms if k.signal is Signal.TPOT)
    assert Signal.ITL not in signals(reading)
    assert reading.traits.one_token_tpot == "skipped"


def test_only_per_request_latencies_are_tpot() -> None:
    """Every profile states what its inter-token latency observes, and none offers that as TPOT."""
    per = {name: {one.per for one in profile.signals.get(Signal.ITL, ())} for name, profile in OWN.items()}
    assert per["vllm"] == per["ray_serve"] == per["lmdeploy"] == {Per.STEP}
    assert per["sglang"] == per["dynamo"] == per["nim"] == {Per.TOKEN}
    assert {name for name, profile in OWN.items() if Signal.TPOT in profile.signals} == {
        "max",
        "ray_serve",
        "sglang",
        "trtllm",
        "vllm",
    }


def test_tgi_mean_time_per_token_is_not_read() -> None:
    """TGI's mean time per token includes prefill, and it has no TTFT: both signals are absent."""
    assert not {Signal.TTFT, Signal.TPOT, Signal.ITL} & set(PROFILES["tgi"].signals)
    assert not [name for name in PROFILES["tgi"].all_sample_names() if "mean_time" in name]


def test_sums_of_histograms_are_counters() -> None:
    """If an engine has no token counter, the sum of its tokens-per-request histogram is one."""
    for name in ("tgi/3.3/generated", "dynamo/1.6/generated", "llm_d/2026-08/generated"):
        series = [key.series for key in page(name).counters if key.signal is Signal.PROMPT_TOKENS]
        assert [one.partition("{")[0].rpartition("_")[2] for one in series] == ["sum"]


@pytest.mark.parametrize(
    ("name", "success", "error", "cancelled"),
    [
        ("trtllm/2026/generated", 4, 2, 1),
        ("dynamo/1.6/generated", 4, 3, 1),
        ("triton/trtllm-backend/generated", 9, 1, 2),
        ("tgi/3.3/generated", 5, 2, 1),
        ("tgi/fixture/datadog-fixture", 109, 2, 0),
        ("ray_serve/2.60/generated", 15, 0, 3),
        ("max/26/generated", 5, 1, 1),
        ("litellm/1.109.1/generated", 15, 3, 0),
        ("llm_d/2026-08/generated", 5, 1, 0),
        ("vllm_router/2026/generated", 15, 3, 0),
    ],
)
def test_how_requests_ended(name: str, success: float, error: float, cancelled: float) -> None:
    """Every engine's finish reasons become success, error, cancelled or rejected, each counted once."""
    assert ended(page(name)) == {
        Outcome.SUCCESS: success,
        Outcome.ERROR: error,
        Outcome.CANCELLED: cancelled,
        Outcome.REJECTED: REJECTED.get(name, 0),
    }


def test_nim_without_finish_reasons() -> None:
    """A NIM page with only success and failure counters gives those."""
    assert ended(reading_of("nim", "request_success_total 3\nrequest_failure_total 2\n")) == {
        Outcome.SUCCESS: 3,
        Outcome.ERROR: 2,
        Outcome.CANCELLED: 0,
        Outcome.REJECTED: 0,
    }


def test_lmdeploy_speaks_python() -> None:
    """LMDeploy's finish reasons are Python enum names; its cumulative request gauges are not read."""
    line = 'lmdeploy:request_success_total{engine="0",finished_reason="ResponseType.%s",model_name="m"} %s\n'
    text = line % ("FINISH", 1) + line % ("CANCEL", 2) + line % ("OUT_OF_MEMORY", 4) + line % ("NEW_ONE", 8)
    assert ended(reading_of("lmdeploy", text + 'lmdeploy:num_requests_succeeded{engine="0"} 99\n')) == {
        Outcome.SUCCESS: 1,
        Outcome.CANCELLED: 2,
        Outcome.ERROR: 12,
        Outcome.REJECTED: 0,
    }


def test_a_cumulative_gauge_counts() -> None:
    """A gauge listed under a counter's signal is read as a counter, as Ray's twin is."""
    text = '# TYPE ray_vllm_generation_tokens gauge\nray_vllm_generation_tokens{model_name="m",ReplicaId="a"} 7\n'
    assert list(reading_of("ray_serve", text).counters.values()) == [7.0]


def test_ray_counts_every_replica_and_no_twin() -> None:
    """Ray's replicas all count, in either spelling, and no counter is read again as its gauge."""
    for name in ("ray_serve/2.60/generated", "ray_serve/2.44/generated"):
        reading = page(name)
        tokens = [value for key, value in reading.counters.items() if key.signal is Signal.GENERATED_TOKENS]
        assert tokens == [195, 390]
        assert reading.gauges[Signal.REQUESTS_RUNNING, "qwen"] == 6
        assert reading.gauges[Signal.KV_CACHE_USAGE, "qwen"] == 0.2


def test_milliseconds() -> None:
    """MAX and Triton observe milliseconds: edges and sums become seconds exactly."""
    for name, edge in (("max/26/generated", 0.3), ("triton/trtllm-backend/generated", 0.5)):
        histogram = next(h for key, h in page(name).histograms.items() if key.signal is Signal.TTFT)
        assert edge in histogram.edges
        assert histogram.sum == pytest.approx(1.4)


def test_an_edge_in_milliseconds_is_a_threshold_in_seconds() -> None:
    """An edge of any whole number of milliseconds equals the threshold written in seconds."""
    line = 'maxserve_itl_milliseconds_bucket{le="%s"} 1\n'
    text = "".join(line % edge for edge in (*range(1, 1000), "+Inf"))
    (histogram,) = reading_of("max", text).histograms.values()
    assert histogram.edges == tuple(float(f"0.{edge:03}") for edge in range(1, 1000))


def test_max_counts_only_generation() -> None:
    """MAX counts health checks and scrapes as requests; goodwatt excludes them from counts and durations."""
    reading = page("max/26/generated")
    assert sum(ended(reading).values()) == 7
    assert sum(h.count for key, h in reading.histograms.items() if key.signal is Signal.E2E) == 5


def test_triton_counts_a_pipeline_once() -> None:
    """Each model of a TensorRT-LLM pipeline counts the request; only the generating model is read."""
    reading = page("triton/trtllm-backend/generated")
    assert {key.model for key in (*reading.counters, *reading.histograms)} == {"tensorrt_llm"}
    assert reading.gauges == {
        (Signal.REQUESTS_RUNNING, "tensorrt_llm"): 3,
        (Signal.REQUESTS_WAITING, "tensorrt_llm"): 2,
        (Signal.KV_CACHE_USAGE, "tensorrt_llm"): 0.25,
    }


def _finished(**models: int) -> str:
    """Triton's core counters: that many successes of each model and no failure."""
    lines = 'nv_inference_request_success{model="%s"} %d\nnv_inference_request_failure{model="%s"} 0\n'
    return "".join(lines % (name, count, name) for name, count in models.items())


def test_a_generating_model_that_stays_at_0() -> None:
    """Requests that only the ensemble counts belong to the generating model; if there is none, to the ensemble."""
    name = "triton/pipeline/generating-model-at-0"
    assert +Counter(ended(page(name))) == {Outcome.SUCCESS: 59}
    assert {key.model for key in page(name).counters} == {"tensorrt_llm"}
    later = (HERE / f"{name}.prom").read_text().replace(" 59", " 64")
    assert ended(reading_of("triton", later, previous=page(name)))[Outcome.SUCCESS] == 64
    only = reading_of("triton", _finished(ensemble=7))
    assert {key.model: value for key, value in only.counters.items() if value} == {"ensemble": 7}


def test_several_models_behind_a_front() -> None:
    """With several generating models the ensemble's requests cannot be assigned: each keeps its own count."""
    found = reading_of("triton", _finished(ensemble=9, llama=2, mistral=3)).counters
    assert {key.model: value for key, value in found.items() if value} == {"llama": 2, "mistral": 3}


def test_failures_that_only_the_front_counts() -> None:
    """A failure in front of the generating model is one of its requests."""
    failed = 'nv_inference_request_failure{model="ensemble",reason="BACKEND"} 2\n'
    text = f'nv_inference_request_success{{model="llama"}} 5\n{failed}'
    assert +Counter(ended(reading_of("triton", text))) == {Outcome.SUCCESS: 5, Outcome.ERROR: 2}


def test_llama_cpp_with_model_labels() -> None:
    """Each model has its own tokens; only a page without the label accepts any name that a client sends."""
    reading = page("llamacpp/docker-model-runner/two-models")
    generated = {key.model: value for key, value in reading.counters.items() if key.signal is Signal.GENERATED_TOKENS}
    assert generated == {"ai/llama3.2:latest": 400, "ai/qwen3:8B": 7000}
    assert reading.traits.names_models
    assert not page("llamacpp/b11434/after").traits.names_models


def test_triton_without_reasons() -> None:
    """Failures in older Tritons have no reason and count as errors."""
    text = (
        'nv_inference_request_success{model="m",version="1"} 1\nnv_inference_request_failure{model="m",version="1"} 2\n'
    )
    assert ended(reading_of("triton", text))[Outcome.ERROR] == 2


def test_engines_without_token_counters() -> None:
    """Triton's core, its TensorRT-LLM backend and old TensorRT-LLM count no tokens: absent, not zero."""
    for name in ("triton/core/datadog-fixture", "triton/trtllm-backend/generated", "trtllm/1.1.0rc/generated"):
        assert not {Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS} & signals(page(name))


def test_router_counts_no_tokens() -> None:
    """The production-stack router counts tokens of non-streamed responses only, so none are read."""
    assert not {Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS} & set(PROFILES["vllm_router"].signals)


def test_one_prefix_of_the_picker_counts() -> None:
    """A page with the same figures under two prefixes is read under one of them."""
    for name in ("llm_d/2026-08/generated", "llm_d/2026-04/generated"):
        assert not any("inference_objective" in key.series for key in page(name).counters)


def test_litellm_accounts() -> None:
    """LiteLLM's tokens and requests share an account: the requested model."""
    assert {key.model for key in page("litellm/1.109.1/generated").counters} == {"qwen"}


def test_when_tokens_move() -> None:
    """Engines that count tokens at the end of a request are marked so, and live windows adapt."""
    moves = {name: profile.traits.tokens_move for name, profile in OWN.items()}
    at_the_end = {name for name, move in moves.items() if move is Moves.FINISH}
    assert at_the_end == {"litellm", "llamacpp", "llm_d", "max", "sglang", "tei", "tgi", "trtllm", "vllm_router"}


def test_gauges_that_lag() -> None:
    """Engines with a possibly stale gauge of running requests are marked so, and it is not used for bounds."""
    lag = {name for name, profile in OWN.items() if not profile.traits.running_is_current}
    assert lag == {"max", "nim", "ray_serve", "sglang", "triton", "trtllm", "vllm_router"}


def test_tritons_own_joules_are_read_by_uuid() -> None:
    """Triton's per-GPU energy is read as reported; a malformed line or a missing UUID gives none."""
    uuid = "GPU-951eeeeb-d284-d263-688e-d98a5306389b"
    assert read(HERE / "triton/core/datadog-fixture.prom").gpu_joules == {uuid: pytest.approx(4879631.328)}
    line = "nv_energy_consumption{%s} %s\n"
    odd = line % ('gpu_uuid="a"', "NaN") + line % ('gpu_uuid=""', 5) + line % ('gpu_uuid="b"', 7)
    assert reading_of("triton", odd).gpu_joules == {"b": 7.0}
    assert read(HERE / "nim/1.x/datadog-fixture.prom").gpu_joules == {}
