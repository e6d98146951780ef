import pytest

from exporter.engines import load_profile
from exporter.engines.detection import Detection, detect, detect_by_status, matches
from exporter.engines.profile import Names
from exporter.model.source import Reason
from exporter.sources.exposition import metric_names
from tests.engines.golden import HERE, PROFILES
from tests.engines.test_profile import MINIMAL

ONLY_VLLM = {"vllm": PROFILES["vllm"]}
ONLY_SGLANG = {"sglang": PROFILES["sglang"]}
LLAMA_501 = (
    '{"error":{"code":501,"message":"This server does not support metrics endpoint. Start it with `--metrics`"}}'
)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Names(any_of=("a", "x")), True),
        (Names(any_of=("x",)), False),
        (Names(all_of=("a", "b_one")), True),
        (Names(all_of=("a", "x")), False),
        (Names(any_of=("b_*",)), True),
        (Names(any_of=("c_*",)), False),
        (Names(any_of=("a",), none_of=("b_*",)), False),
        (Names(any_of=("a",), none_of=("c_*",)), True),
    ],
)
def test_conditions(condition: Names, holds: bool) -> None:
    """any_of, all_of and none_of mean what they say, of names and of prefixes."""
    assert matches(condition, frozenset({"a", "b_one"})) is holds


@pytest.mark.parametrize("page", ["vllm-disable-log-stats-fresh", "vllm-disable-log-stats"])
def test_statistics_switched_off(page: str) -> None:
    """A vLLM page without vllm metrics says which flag to drop, and says `if` while the engine is only guessed."""
    names = metric_names((HERE / f"other/{page}.prom").read_text())
    named, guessed = detect(ONLY_VLLM, names), detect(PROFILES, names)
    assert named.reason is guessed.reason is Reason.METRICS_OFF
    assert named.because.endswith("; start it without --disable-log-stats")
    assert guessed.because.endswith("; if this is vLLM, start it without --disable-log-stats")


def test_router_is_not_an_engine() -> None:
    """The production-stack router repeats vLLM's names; reading it beside its engines would count all twice."""
    found = detect(PROFILES, {"vllm:num_requests_running", "vllm:current_qps"})
    assert found.engine is None
    assert found.reason is Reason.UNKNOWN_ENGINE
    assert "router" in found.because


@pytest.mark.parametrize("page", ["lmdeploy", "trtllm"])
def test_unknown_engine(page: str) -> None:
    """A page of an engine without a profile is named by some of its own metrics."""
    found = detect(PROFILES, metric_names((HERE / f"other/{page}.prom").read_text()))
    assert found.engine is None
    assert found.reason is Reason.UNKNOWN_ENGINE
    assert f"such as {page}" in found.because
    assert "none of llama.cpp or SGLang or vLLM" in found.because


def test_another_engine_than_named() -> None:
    """The operator's word is not overruled by what the page looks like."""
    assert detect(ONLY_VLLM, {"sglang:num_queue_reqs"}) == Detection(
        None,
        Reason.UNKNOWN_ENGINE,
        "the page is none of vLLM; it has metrics such as sglang:num_queue_reqs; check url and engine",
    )


def test_own_profile() -> None:
    """An operator's profile takes part like a shipped one."""
    assert detect({"toy": load_profile(MINIMAL)}, {"toy_tokens_total"}).engine == "toy"


def test_status_that_proves() -> None:
    """llama-server's own words prove that its metrics are switched off, whoever was expected."""
    found = detect_by_status(PROFILES, 501, LLAMA_501)
    assert found == Detection(
        None, Reason.METRICS_OFF, "llama.cpp's metrics are switched off; start llama-server with --metrics"
    )
    assert detect_by_status(PROFILES, 501, "not implemented") is None


def test_status_that_hints() -> None:
    """A 404 is SGLang without metrics when SGLang was named, and only a hint otherwise."""
    named, guessed = detect_by_status(ONLY_SGLANG, 404, ""), detect_by_status(PROFILES, 404, "")
    assert named == Detection(
        None, Reason.METRICS_OFF, "SGLang's metrics are switched off; start it with --enable-metrics"
    )
    assert guessed == Detection(None, Reason.HTTP_ERROR, "if this is SGLang, start it with --enable-metrics")


@pytest.mark.parametrize("status", [400, 500, 503])
def test_status_that_says_nothing(status: int) -> None:
    """Other statuses are left to be told as they are."""
    assert detect_by_status(PROFILES, status, "") is None
