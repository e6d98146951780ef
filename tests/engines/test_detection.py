import pytest

from goodwatt.engines import load_profile
from goodwatt.engines.detection import Detection, condition_matches, detect_by_status, detect_engine
from goodwatt.engines.profile import NameCondition
from goodwatt.model.source import Reason
from goodwatt.sources.engine.exposition import metric_names
from tests.engines.golden import HERE, PAGES, PROFILES, engine_of, seen
from tests.engines.test_profile import MINIMAL

ONLY_VLLM = {"vllm": PROFILES["vllm"]}
ONLY_SGLANG = {"sglang": PROFILES["sglang"]}
LLAMA_501 = (
    '{"error":{"code":501,"message":"This server does not support metrics endpoint. Start it with `--metrics`"}}'
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (NameCondition(any_of=("a", "x")), True),
        (NameCondition(any_of=("x",)), False),
        (NameCondition(all_of=("a", "b_one")), True),
        (NameCondition(all_of=("a", "x")), False),
        (NameCondition(any_of=("b_*",)), True),
        (NameCondition(any_of=("c_*",)), False),
        (NameCondition(any_of=("a",), none_of=("b_*",)), False),
        (NameCondition(any_of=("a",), none_of=("c_*",)), True),
        (NameCondition(any_of=("a{who}",)), True),
        (NameCondition(any_of=("a{what}", "c{who}")), False),
    ],
)
def test_conditions(condition: NameCondition, holds: bool) -> None:
    """any_of, all_of and none_of work with names, prefixes and labels."""
    assert condition_matches(condition, frozenset({"a", "b_one", "a{who}"})) is holds


@pytest.mark.parametrize("page", ["vllm-disable-log-stats-fresh", "vllm-disable-log-stats"])
def test_statistics_switched_off(page: str) -> None:
    """A vLLM page without vllm metrics gets advice on the flag, with an "if" unless the engine is configured."""
    names = metric_names((HERE / f"other/{page}.prom").read_text())
    named, guessed = detect_engine(ONLY_VLLM, names), detect_engine(PROFILES, names)
    assert named.reason is guessed.reason is Reason.METRICS_OFF
    assert named.because.endswith("; start it without --disable-log-stats")
    assert guessed.because.endswith("; if this is vLLM, start it without --disable-log-stats")


@pytest.mark.parametrize(
    "names",
    [
        {"vllm:num_requests_running", "vllm:current_qps"},
        {"vllm:num_requests_running", "vllm:num_requests_running{server}"},
    ],
)
def test_router_is_not_an_engine(names: set[str]) -> None:
    """The production-stack router repeats vLLM's names; other names or labels identify it, and vLLM rejects it."""
    for profiles in (PROFILES, ONLY_VLLM):
        found = detect_engine(profiles, names)
        assert found.engine is None
        assert found.reason is Reason.UNKNOWN_ENGINE
        assert "router" in found.because


@pytest.mark.parametrize("name", ["vllm_router", "litellm", "llm_d"])
def test_a_proxy_is_read_only_when_named(name: str) -> None:
    """A proxy counts its engines' tokens again: it is rejected with advice unless `engine` names it."""
    text = next(page for page in PAGES if engine_of(page) == name).read_text()
    unnamed, named = (detect_engine(profiles, seen(text)) for profiles in (PROFILES, {name: PROFILES[name]}))
    assert named.engine == name
    assert unnamed.engine is None
    assert unnamed.because.endswith(f"give the engines' own addresses, or engine: {name} to read this page instead")


def test_dynamo_worker() -> None:
    """A Dynamo worker is rejected with an explanation: its frontend counts the same tokens. `engine: vllm` reads it."""
    names = seen((HERE / "other/dynamo-worker.prom").read_text())
    assert "give the frontend's address" in detect_engine(PROFILES, names).because
    assert detect_engine(ONLY_VLLM, names).engine == "vllm"


def test_dynamo_frontend_shows_its_router() -> None:
    """A frontend's page with its router's dynamo_component_ metrics is still a frontend's."""
    assert (
        detect_engine(PROFILES, {"dynamo_frontend_requests_total", "dynamo_component_router_requests"}).engine
        == "dynamo"
    )


@pytest.mark.parametrize("name", ["smg_http_requests_total", "sgl_router_requests_total"])
def test_sglangs_gateway_is_not_an_engine(name: str) -> None:
    """SGLang's model gateway is rejected under both of its prefixes, with the addresses to give instead."""
    found = detect_engine(PROFILES, {name})
    assert (found.engine, found.reason) == (None, Reason.UNKNOWN_ENGINE)
    assert "give the workers' own addresses" in found.because


def test_kserve_without_vllm() -> None:
    """A page with only KServe's own latencies means metrics off, with the backend to choose."""
    found = detect_engine(PROFILES, seen((HERE / "other/kserve-without-vllm.prom").read_text()))
    assert found.reason is Reason.METRICS_OFF
    assert found.because.endswith(
        "if this is vLLM, serve the model with KServe's vLLM backend, the only one of its backends that counts tokens"
    )


def test_names_without_a_prefix() -> None:
    """NIM is detected by a gauge, old TensorRT-LLM by a label; the same names elsewhere match nothing."""
    names = {"e2e_request_latency_seconds_bucket", "time_per_output_token_seconds_bucket", "request_success_total"}
    assert detect_engine(PROFILES, names | {"num_request_max", "request_finish_total"}).engine == "nim"
    assert detect_engine(PROFILES, names | {"e2e_request_latency_seconds_bucket{engine_type}"}).engine == "trtllm"
    assert detect_engine(PROFILES, names).engine is None


def test_unknown_page() -> None:
    """An unknown page is described by some of its metrics."""
    found = detect_engine(PROFILES, {"toy_b", "toy_a", "toy_a{model}", "python_info"})
    assert found.engine is None
    assert found.reason is Reason.UNKNOWN_ENGINE
    assert found.because == (
        "the page is not from any engine in `goodwatt engines`; it has metrics such as toy_a, toy_b; "
        "check url and engine"
    )


def test_another_engine_than_named() -> None:
    """The configured engine is not overruled by what the page looks like."""
    assert detect_engine(ONLY_VLLM, {"sglang:num_queue_reqs"}) == Detection(
        None,
        Reason.UNKNOWN_ENGINE,
        "the page is not from vLLM; it has metrics such as sglang:num_queue_reqs; check url and engine",
    )


def test_own_profile() -> None:
    """An operator's profile is matched like a shipped one."""
    assert detect_engine({"toy": load_profile(MINIMAL)}, {"toy_tokens_total"}).engine == "toy"


def test_status_that_proves() -> None:
    """llama-server's error text proves that its metrics are off, whatever engine is configured."""
    found = detect_by_status(PROFILES, 501, LLAMA_501)
    assert found == Detection(
        None, Reason.METRICS_OFF, "llama.cpp's metrics are switched off; start llama-server with --metrics"
    )
    assert detect_by_status(PROFILES, 501, "not implemented") is None


def test_status_that_hints() -> None:
    """A 404 means SGLang without metrics if SGLang is configured; otherwise it is only a hint."""
    named, guessed = detect_by_status(ONLY_SGLANG, 404, ""), detect_by_status(PROFILES, 404, "")
    assert named == Detection(
        None, Reason.METRICS_OFF, "SGLang's metrics are switched off; start it with --enable-metrics"
    )
    assert guessed == Detection(
        None,
        Reason.HTTP_ERROR,
        "if this is SGLang, start it with --enable-metrics; if this is TensorRT-LLM, "
        "set return_perf_metrics: true in its options and give the path /prometheus/metrics",
    )


@pytest.mark.parametrize("status", [400, 500, 503])
def test_status_that_says_nothing(status: int) -> None:
    """Other statuses have no special meaning."""
    assert detect_by_status(PROFILES, status, "") is None
