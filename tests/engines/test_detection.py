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
    """any_of, all_of and none_of mean what they say, of names, of prefixes and of labels."""
    assert condition_matches(condition, frozenset({"a", "b_one", "a{who}"})) is holds


@pytest.mark.parametrize("page", ["vllm-disable-log-stats-fresh", "vllm-disable-log-stats"])
def test_statistics_switched_off(page: str) -> None:
    """A vLLM page without vllm metrics says which flag to drop, and says `if` while the engine is only guessed."""
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
    """The production-stack router repeats vLLM's names: by other names or labels it is told, and refused as vLLM."""
    for profiles in (PROFILES, ONLY_VLLM):
        found = detect_engine(profiles, names)
        assert found.engine is None
        assert found.reason is Reason.UNKNOWN_ENGINE
        assert "router" in found.because


@pytest.mark.parametrize("name", ["vllm_router", "litellm", "llm_d"])
def test_a_proxy_is_read_only_when_named(name: str) -> None:
    """A proxy counts what the engines behind it count: it is refused with advice, and read if `engine` names it."""
    text = next(page for page in PAGES if engine_of(page) == name).read_text()
    unnamed, named = (detect_engine(profiles, seen(text)) for profiles in (PROFILES, {name: PROFILES[name]}))
    assert named.engine == name
    assert unnamed.engine is None
    assert unnamed.because.endswith(f"give the engines' own addresses, or engine: {name} to read this page instead")


def test_dynamo_worker() -> None:
    """A Dynamo worker's page is explained, since its frontend counts the same tokens; `engine: vllm` reads it."""
    names = seen((HERE / "other/dynamo-worker.prom").read_text())
    assert "give the frontend's address" in detect_engine(PROFILES, names).because
    assert detect_engine(ONLY_VLLM, names).engine == "vllm"


def test_dynamo_frontend_shows_its_router() -> None:
    """A frontend's page may hold its router's dynamo_component_ metrics too, and is a frontend's all the same."""
    assert (
        detect_engine(PROFILES, {"dynamo_frontend_requests_total", "dynamo_component_router_requests"}).engine
        == "dynamo"
    )


def test_kserve_without_vllm() -> None:
    """KServe's own latencies alone are an engine whose metrics are off, with the backend to choose."""
    found = detect_engine(PROFILES, seen((HERE / "other/kserve-without-vllm.prom").read_text()))
    assert found.reason is Reason.METRICS_OFF
    assert found.because.endswith(
        "if this is vLLM, serve the model with KServe's vLLM backend, the only one of its backends that counts tokens"
    )


def test_names_without_a_prefix() -> None:
    """NIM is told by a gauge of its own, old TensorRT-LLM by a label; the same names of somebody else are nobody's."""
    names = {"e2e_request_latency_seconds_bucket", "time_per_output_token_seconds_bucket", "request_success_total"}
    assert detect_engine(PROFILES, names | {"num_request_max", "request_finish_total"}).engine == "nim"
    assert detect_engine(PROFILES, names | {"e2e_request_latency_seconds_bucket{engine_type}"}).engine == "trtllm"
    assert detect_engine(PROFILES, names).engine is None


def test_unknown_page() -> None:
    """A page of something without a profile is named by some of its own metrics."""
    found = detect_engine(PROFILES, {"toy_b", "toy_a", "toy_a{model}", "python_info"})
    assert found.engine is None
    assert found.reason is Reason.UNKNOWN_ENGINE
    assert found.because == (
        "the page is not from any engine in `goodwatt engines`; it has metrics such as toy_a, toy_b; "
        "check url and engine"
    )


def test_another_engine_than_named() -> None:
    """The operator's word is not overruled by what the page looks like."""
    assert detect_engine(ONLY_VLLM, {"sglang:num_queue_reqs"}) == Detection(
        None,
        Reason.UNKNOWN_ENGINE,
        "the page is not from vLLM; it has metrics such as sglang:num_queue_reqs; check url and engine",
    )


def test_own_profile() -> None:
    """An operator's profile takes part like a shipped one."""
    assert detect_engine({"toy": load_profile(MINIMAL)}, {"toy_tokens_total"}).engine == "toy"


def test_status_that_proves() -> None:
    """llama-server's own words prove that its metrics are switched off, whoever was expected."""
    found = detect_by_status(PROFILES, 501, LLAMA_501)
    assert found == Detection(
        None, Reason.METRICS_OFF, "llama.cpp's metrics are switched off; start llama-server with --metrics"
    )
    assert detect_by_status(PROFILES, 501, "not implemented") is None


def test_status_that_hints() -> None:
    """A 404 is SGLang without metrics when SGLang was named; otherwise every engine that answers so is a guess."""
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
    """Other statuses are left to be told as they are."""
    assert detect_by_status(PROFILES, status, "") is None
