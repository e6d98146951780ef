import json
from pathlib import Path

import pytest

from exporter.engines import load_profile
from exporter.engines.detection import detect
from exporter.engines.matrix import coverage_matrix
from exporter.model.engine import EngineReading, Outcome, Signal
from exporter.model.source import Reason
from exporter.sources.exposition import metric_names
from tests.engines.golden import HERE, PAGES, PROFILES, as_golden, engine_of, read

DOCS = (HERE.parents[1] / "docs/engines.md").read_text()
IDS = [str(page.relative_to(HERE)) for page in PAGES]


def total(reading: EngineReading, signal: Signal, outcome: Outcome | None = None) -> float:
    return sum(v for k, v in reading.counters.items() if k.signal is signal and k.outcome is outcome)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_golden(page: Path) -> None:
    """Every captured page reads as the reviewed reading beside it."""
    assert as_golden(read(page)) == json.loads(page.with_suffix(".json").read_text())


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_detected(page: Path) -> None:
    """Every captured page is recognised as the engine that wrote it, among all profiles."""
    assert detect(PROFILES, metric_names(page.read_text())).engine == engine_of(page)


@pytest.mark.parametrize("engine", sorted(PROFILES))
def test_no_profile_without_a_capture(engine: str) -> None:
    """A profile without a captured page and a word on where it comes from fails the suite."""
    pages = [page for page in PAGES if engine_of(page) == engine]
    assert pages
    assert f"{engine}/" in (HERE / "PROVENANCE.md").read_text()


@pytest.mark.parametrize("engine", sorted(PROFILES))
def test_every_signal_of_a_profile_occurs_in_a_capture(engine: str) -> None:
    """Each signal that a profile claims is read from at least one captured page, but for the exceptions named here."""
    unseen = {"sglang": {Signal.PREEMPTIONS}}  # no retraction happened while the page was made
    seen: set[Signal] = set()
    for page in (page for page in PAGES if engine_of(page) == engine):
        reading = read(page)
        seen |= {k.signal for k in (*reading.counters, *reading.histograms)} | {signal for signal, _ in reading.gauges}
    assert seen == set(PROFILES[engine].signals) - unseen.get(engine, set())


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
        ("llamacpp/b11434/after", 1887 + 1440, 1440, 2696, 0),
    ],
)
def test_totals(page: str, prompt: float, cached: float, generated: float, succeeded: float) -> None:
    """Totals are those that stand on the page, each replica once, and no rank twice."""
    reading = read(HERE / f"{page}.prom")
    assert total(reading, Signal.PROMPT_TOKENS) == prompt
    assert total(reading, Signal.CACHED_PROMPT_TOKENS) == cached
    assert total(reading, Signal.GENERATED_TOKENS) == generated
    assert total(reading, Signal.REQUESTS, Outcome.SUCCESS) == succeeded


def test_aborts_are_no_requests() -> None:
    """vLLM clients that disconnect leave tokens and first tokens behind, and no finished request."""
    before, after = (read(HERE / f"vllm/0.32.0/{name}.prom") for name in ("after", "after-abort"))
    ttft = [next(h.count for k, h in r.histograms.items() if k.signal is Signal.TTFT) for r in (before, after)]
    assert ttft[1] - ttft[0] == 8
    assert total(after, Signal.REQUESTS, Outcome.SUCCESS) == total(before, Signal.REQUESTS, Outcome.SUCCESS)
    assert total(after, Signal.GENERATED_TOKENS) - total(before, Signal.GENERATED_TOKENS) == 29


def test_old_tpot_name_is_itl() -> None:
    """time_per_output_token_seconds of vLLM before 0.11 is the gap between tokens, never a request's TPOT."""
    for version in ("0.6.3", "0.10.0"):
        signals = {k.signal for k in read(HERE / f"vllm/{version}/from-documentation.prom").histograms}
        assert Signal.ITL in signals
        assert Signal.TPOT not in signals


def test_openmetrics_reads_like_text() -> None:
    """The same figures as OpenMetrics text, exemplars and all, give the same reading."""
    text, openmetrics = (read(HERE / f"vllm/0.32.0/{name}.prom") for name in ("after", "openmetrics-from-after"))
    assert openmetrics == text


def test_llamacpp_has_no_requests() -> None:
    """What llama.cpp does not count is absent, not zero."""
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
    """Queues of data-parallel replicas add up, and the fullest cache speaks for all."""
    gauges = read(HERE / "sglang/0.5.23/two-ranks-derived.prom").gauges
    assert gauges[Signal.REQUESTS_RUNNING, "Qwen/Qwen3-8B"] == 6
    assert gauges[Signal.KV_CACHE_USAGE, "Qwen/Qwen3-8B"] == 0.07


@pytest.mark.parametrize(
    ("engine", "page"), [("vllm", "vllm/0.33.0/generated"), ("sglang", "sglang/0.5.23/multiproc-generated")]
)
def test_default_edges(engine: str, page: str) -> None:
    """The default bucket edges in a profile are those of the captured version."""
    reading = read(HERE / f"{page}.prom")
    on_page = {key.signal: histogram.edges for key, histogram in reading.histograms.items()}
    assert PROFILES[engine].default_edges == {s: on_page[s] for s in (Signal.TTFT, Signal.TPOT, Signal.E2E)}


def test_docs_hold_the_matrix() -> None:
    """docs/engines.md shows the coverage table that the profiles give, as `goodwatt engines` prints it."""
    assert coverage_matrix(PROFILES) in DOCS


def test_docs_hold_a_valid_profile() -> None:
    """The profile that docs/engines.md shows as an example is valid."""
    assert load_profile(DOCS.partition("```yaml\n")[2].partition("```")[0]).name == "toy"


def test_docs_name_every_reason() -> None:
    """docs/engines.md explains every reason that reading a server can give."""
    about_gpus = {"library_missing", "driver_missing", "driver_error", "permission", "no_gpus", "wedged"}
    assert {reason for reason in Reason if f"`{reason}`" in DOCS} == set(Reason) - about_gpus
