import json
from dataclasses import replace
from pathlib import Path

import pytest

from goodwatt.engines import load_profile
from goodwatt.engines.detection import detect_engine
from goodwatt.engines.report.coverage import coverage_matrix
from goodwatt.model.engine import EngineReading, Outcome, Signal
from goodwatt.model.source import Reason
from tests.engines.golden import HERE, PAGES, PROFILES, as_golden, engine_of, read, seen

DOCS = (HERE.parents[1] / "docs/engines.md").read_text()
IDS = [str(page.relative_to(HERE)) for page in PAGES]


def total(reading: EngineReading, signal: Signal, outcome: Outcome | None = None) -> float:
    return sum(v for k, v in reading.counters.items() if k.signal is signal and k.outcome is outcome)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_golden(page: Path) -> None:
    """Every captured page gives its reviewed golden reading."""
    assert as_golden(read(page)) == json.loads(page.with_suffix(".json").read_text())


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_detected(page: Path) -> None:
    """Every captured page is detected as its engine and no other; a proxy's is rejected unless named."""
    engine, names = engine_of(page), seen(page.read_text())
    proxy = PROFILES[engine].named_only is not None
    assert detect_engine(PROFILES, names).engine == (None if proxy else engine)
    assert detect_engine({engine: PROFILES[engine]}, names).engine == engine
    assert {name for name in PROFILES if detect_engine({name: PROFILES[name]}, names).engine} == {engine}


@pytest.mark.parametrize("engine", sorted(PROFILES))
def test_no_profile_without_a_capture(engine: str) -> None:
    """Every profile has a captured page and an entry in PROVENANCE.md."""
    pages = [page for page in PAGES if engine_of(page) == engine]
    assert pages
    assert f"{engine}/" in (HERE / "PROVENANCE.md").read_text()


@pytest.mark.parametrize("engine", sorted(PROFILES))
def test_every_signal_of_a_profile_occurs_in_a_capture(engine: str) -> None:
    """Each signal of a profile is read from at least one captured page, except those listed here."""
    never = {Signal.PREEMPTIONS}  # no retraction happened while the page was made
    unseen = {"sglang": never, "sglang_underscored": never}
    found: set[Signal] = set()
    for page in (page for page in PAGES if engine_of(page) == engine):
        reading = read(page)
        found |= {k.signal for k in (*reading.counters, *reading.histograms)} | {signal for signal, _ in reading.gauges}
    assert found == set(PROFILES[engine].signals) - unseen.get(engine, set())


@pytest.mark.parametrize(
    ("page", "prompt", "cached", "generated", "succeeded"),
    [
        ("vllm/0.32.0/fresh", 0, 0, 0, 0),
        ("vllm/0.32.0/after", 7948, 0, 10048, 160),
        ("vllm/0.32.0/alias-lora", 596, 0, 384, 12),
        ("vllm/0.33.0/generated", 3887, 1792, 257, 6),
        ("vllm/0.33.0/dp2-multiproc-generated", 2 * 3887, 2 * 1792, 2 * 257, 2 * 6),
        ("sglang/0.5.23/multiproc-generated", 1339, 512, 233, 3),
        ("sglang/0.5.23/two-ranks-derived", 1339, 512, 233, 3),
        ("vllm_underscored/0.32.0/derived", 7948, 0, 10048, 160),
        ("sglang_underscored/0.5.23/derived", 1339, 512, 233, 3),
        ("llamacpp/b11434/after", 1887 + 1440, 1440, 2696, 0),
        ("vllm/kserve-0.21/derived", 7948, 0, 10048, 160),
        ("trtllm/2026/generated", 1234, 256, 210, 4),
        ("trtllm/1.1.0rc/generated", 0, 0, 0, 5),
        ("trtllm/dynamo-documentation/sample", 0, 0, 0, 155),
        ("nim/1.x/datadog-fixture", 109, 0, 174, 5),
        ("dynamo/1.6/generated", 1120, 256, 195, 4),
        ("triton/core/datadog-fixture", 0, 0, 0, 3),
        ("triton/trtllm-backend/generated", 0, 0, 0, 9),
        ("triton/vllm-backend/generated", 1120, 0, 195, 5),
        ("tgi/fixture/datadog-fixture", 662, 0, 0, 109),
        ("tgi/3.3/generated", 1120, 0, 195, 5),
        ("tei/1.9/generated", 1120, 0, 0, 6),
        ("lmdeploy/0.18.0/generated", 989, 512, 50, 3),
        ("ray_serve/2.60/generated", 3 * 1120, 3 * 256, 3 * 195, 3 * 5),
        ("ray_serve/2.44/generated", 3 * 1120, 3 * 256, 3 * 195, 3 * 5),
        ("max/26/generated", 1120, 256, 195, 5),
        ("litellm/1.109.1/generated", 3 * 1120, 3 * 256, 3 * 195, 3 * 5),
        ("llm_d/2026-08/generated", 1120, 256, 195, 5),
        ("llm_d/2026-04/generated", 1120, 256, 195, 5),
        ("llm_d/extension-1.x/generated", 1120, 256, 195, 5),
        ("vllm_router/2026/generated", 0, 0, 0, 3 * 5),
    ],
)
def test_totals(page: str, prompt: float, cached: float, generated: float, succeeded: float) -> None:
    """Totals match the page: each replica once, no duplicate rank, twin or prefix."""
    reading = read(HERE / f"{page}.prom")
    assert total(reading, Signal.PROMPT_TOKENS) == prompt
    assert total(reading, Signal.CACHED_PROMPT_TOKENS) == cached
    assert total(reading, Signal.GENERATED_TOKENS) == generated
    assert total(reading, Signal.REQUESTS, Outcome.SUCCESS) == succeeded


def test_aborts_are_not_requests() -> None:
    """vLLM client disconnects leave tokens and TTFT observations, but no finished request."""
    before, after = (read(HERE / f"vllm/0.32.0/{name}.prom") for name in ("after", "after-abort"))
    ttft = [next(h.count for k, h in r.histograms.items() if k.signal is Signal.TTFT) for r in (before, after)]
    assert ttft[1] - ttft[0] == 8
    assert total(after, Signal.REQUESTS, Outcome.SUCCESS) == total(before, Signal.REQUESTS, Outcome.SUCCESS)
    assert total(after, Signal.GENERATED_TOKENS) - total(before, Signal.GENERATED_TOKENS) == 29


def test_old_tpot_name_is_itl() -> None:
    """Before vLLM 0.11, time_per_output_token_seconds is inter-token latency, never TPOT."""
    for version in ("0.6.3", "0.10.0"):
        signals = {k.signal for k in read(HERE / f"vllm/{version}/from-documentation.prom").histograms}
        assert Signal.ITL in signals
        assert Signal.TPOT not in signals


def test_openmetrics_reads_like_text() -> None:
    """The same page as OpenMetrics with exemplars gives the same reading; process_* metrics are not part of it."""
    text, openmetrics = (read(HERE / f"vllm/0.32.0/{name}.prom") for name in ("after", "openmetrics-from-after"))
    assert openmetrics == replace(text, started_unix_seconds=None)


def test_llamacpp_has_no_requests() -> None:
    """Signals that llama.cpp lacks are absent, not zero."""
    reading = read(HERE / "llamacpp/b11434/after.prom")
    assert {k.signal for k in reading.counters} == {
        Signal.PROMPT_TOKENS,
        Signal.CACHED_PROMPT_TOKENS,
        Signal.GENERATED_TOKENS,
    }
    assert not reading.histograms
    assert reading.traits.prompt_includes_cached
    assert not read(HERE / "llamacpp/older/without-cached-derived.prom").traits.prompt_includes_cached


def test_gauges_of_replicas() -> None:
    """Queues of data-parallel replicas add up, and the fullest KV cache counts."""
    gauges = read(HERE / "sglang/0.5.23/two-ranks-derived.prom").gauges
    assert gauges[Signal.REQUESTS_RUNNING, "Qwen/Qwen3-8B"] == 6
    assert gauges[Signal.KV_CACHE_USAGE, "Qwen/Qwen3-8B"] == 0.07


@pytest.mark.parametrize(
    "page",
    [
        "vllm/0.33.0/generated",
        "sglang/0.5.23/multiproc-generated",
        "lmdeploy/0.18.0/generated",
        "trtllm/2026/generated",
        "litellm/1.109.1/generated",
    ],
)
def test_default_edges(page: str) -> None:
    """A profile's default bucket edges are those of the captured version."""
    path = HERE / f"{page}.prom"
    on_page = {key.signal: histogram.edges for key, histogram in read(path).histograms.items()}
    edges = PROFILES[engine_of(path)].default_edges
    assert edges == {signal: on_page[signal] for signal in (Signal.TTFT, Signal.TPOT, Signal.E2E) if signal in edges}
    assert edges


def test_docs_hold_the_matrix() -> None:
    """docs/engines.md has the generated coverage table, as printed by `goodwatt engines`."""
    assert coverage_matrix(PROFILES) in DOCS


def test_docs_hold_a_valid_profile() -> None:
    """The example profiles in docs/engines.md are valid."""
    blocks = DOCS.partition("## A profile")[2].split("```yaml\n")[1:]
    assert [load_profile(block.partition("```")[0]).name for block in blocks] == ["toy", "aphrodite"]


def test_docs_name_every_reason() -> None:
    """docs/engines.md explains every reason a server read can fail with."""
    about_gpus = {"driver_missing", "driver_error", "permission", "no_gpus", "wedged"}
    assert {reason for reason in Reason if f"`{reason}`" in DOCS} == set(Reason) - about_gpus
