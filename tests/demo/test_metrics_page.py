from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from goodwatt.demo.counters import REQUEST_EDGES, TOKEN_EDGES, TTFT_EDGES, Buckets
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.metrics_page import render_metrics_page
from goodwatt.demo.request_times import RequestTimes
from goodwatt.demo.server_spec import SimulatedServer
from goodwatt.engines.page.reader import read_page
from goodwatt.engines.profile import Profile
from goodwatt.model.engine import EngineReading, Outcome, Signal
from goodwatt.sources.engine.exposition import ExpositionParser
from tests.demo.builders import SECOND, drained, engine, load, servers, spec

Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Page:
    """Parse the samples with the Prometheus client library."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len(found) == len(samples), "a series is on the page twice"
    return found


def value(found: Page, name: str, **labels: str) -> float:
    return found[name, tuple(sorted({"engine": "0", "model_name": "m", **labels}.items()))]


def test_the_reference_parser_reads_every_line() -> None:
    """prometheus_client parses the page, with one sample for each line that is not a comment."""
    text = render_metrics_page(drained(50), 1.7e9)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(parsed(text)) == len(lines) > 200


def test_the_page_says_that_it_is_simulated() -> None:
    """The page is marked as simulated by its first line, a comment, and by a gauge."""
    text = render_metrics_page(engine(spec()), 0.0)
    assert text.startswith("# simulated")
    assert parsed(text)["goodwatt_demo_simulated", ()] == 1


def test_two_pages_of_the_same_moment_are_equal() -> None:
    """Scraping does not change the engine."""
    some = engine(spec(load(8.0)))
    some.advance(20 * SECOND)
    first = render_metrics_page(some, 5.0)
    some.advance(20 * SECOND)
    assert render_metrics_page(some, 5.0) == first


@settings(deadline=None, max_examples=40)
@given(servers, st.integers(0, 30 * SECOND), st.integers(0, 10 * SECOND), st.booleans())
def test_tokens_on_the_page_are_the_truths_and_only_a_restart_lowers_a_counter(
    server: SimulatedServer, first: int, more: int, restart: bool
) -> None:
    """At any moment the page's token counts are exactly the truth's; between two pages no counter or bucket falls, and
    after a restart the page shows what was generated since."""
    some = engine(server)
    some.advance(first)
    before = parsed(render_metrics_page(some, 0.0))
    assert value(before, "vllm:generation_tokens_total") == some.truth.generated_tokens
    assert value(before, "vllm:prompt_tokens_total") == some.truth.prompt_tokens
    assert value(before, "vllm:prompt_tokens_cached_total") == some.truth.cached_prompt_tokens
    generated = some.truth.generated_tokens
    if restart:
        some.restart()
    some.advance(first + more)
    after = parsed(render_metrics_page(some, 0.0))
    if restart:
        assert value(after, "vllm:generation_tokens_total") == some.truth.generated_tokens - generated
        return
    growing = [key for key in before if key[0].endswith(("_total", "_bucket", "_count", "_sum"))]
    assert all(after[key] >= before[key] for key in growing)


def succeeded(some: SimulatedEngine) -> list[RequestTimes]:
    return [record for record in some.truth.records if record.succeeded]


FAMILIES: list[tuple[str, Callable[[SimulatedEngine], Iterable[RequestTimes]], Callable[[RequestTimes], int]]] = [
    ("time_to_first_token_seconds", lambda some: some.truth.records, lambda record: record.ttft_ns),
    ("request_time_per_output_token_seconds", succeeded, lambda record: record.tpot_ns),
    ("e2e_request_latency_seconds", succeeded, lambda record: record.e2e_ns),
    ("request_queue_time_seconds", succeeded, lambda record: record.queue_ns),
    ("request_prefill_time_seconds", succeeded, lambda record: record.ttft_ns - record.queue_ns),
    ("request_decode_time_seconds", succeeded, lambda record: record.e2e_ns - record.ttft_ns),
]


@pytest.mark.parametrize(("family", "records", "latency"), FAMILIES, ids=[family for family, _, _ in FAMILIES])
def test_every_bucket_is_a_recount_of_the_requests(
    family: str, records: Callable[[SimulatedEngine], Iterable[RequestTimes]], latency: Callable[[RequestTimes], int]
) -> None:
    """Each bucket, count and sum on the page matches the per-request records."""
    some = drained(
        600, spec(load(14.0, total_requests=600, disconnect_share=0.2, one_token_share=0.1), max_num_seqs=24)
    )
    found = parsed(render_metrics_page(some, 0.0))
    values = [latency(record) for record in records(some)]
    buckets = {
        float(dict(labels)["le"]): count for (name, labels), count in found.items() if name == f"vllm:{family}_bucket"
    }
    assert len(buckets) > 19
    assert buckets == {edge: sum(one / SECOND <= edge for one in values) for edge in buckets}
    assert value(found, f"vllm:{family}_count") == len(values)
    assert value(found, f"vllm:{family}_sum") == sum(values) / SECOND


def test_gaps_between_tokens_are_counted_once_a_token_after_the_first() -> None:
    """The inter-token histogram holds one gap for each token but the first of every request, and their sum is the
    time that requests spent decoding."""
    some = drained(300)
    found = parsed(render_metrics_page(some, 0.0))
    records = some.truth.records
    gaps = sum(record.request.output_tokens - 1 for record in records)
    assert value(found, "vllm:inter_token_latency_seconds_count") == gaps
    spent = sum(record.e2e_ns - record.ttft_ns for record in records)
    assert value(found, "vllm:inter_token_latency_seconds_sum") == spent / SECOND


def test_finished_requests_are_told_by_reason() -> None:
    """Every finish reason of vLLM is on the page, disconnects are in none of them, and they add up."""
    some = drained(300)
    found = parsed(render_metrics_page(some, 0.0))
    reasons = {dict(key[1])["finished_reason"]: n for key, n in found.items() if key[0] == "vllm:request_success_total"}
    assert set(reasons) == {"stop", "length", "abort", "error", "repetition"}
    assert reasons["abort"] == 0
    assert sum(reasons.values()) == some.truth.succeeded < some.truth.arrived


def test_sources_of_prompt_tokens_add_up() -> None:
    """Computed and cached prompt tokens add up to all prompt tokens; waiting reasons add up to all waiting requests."""
    some = engine(spec(load(30.0, cached_share=0.5), max_num_seqs=8))
    some.advance(20 * SECOND)
    found = parsed(render_metrics_page(some, 0.0))

    def total(name: str) -> float:
        return sum(count for key, count in found.items() if key[0] == name)

    assert total("vllm:prompt_tokens_by_source_total") == value(found, "vllm:prompt_tokens_total")
    assert total("vllm:num_requests_waiting_by_reason") == value(found, "vllm:num_requests_waiting") > 0
    assert value(found, "vllm:prefix_cache_hits_total") > 0


def test_created_tells_when_the_counters_began() -> None:
    """`_created` and the process start are the Unix time of the last restart."""
    some = engine(spec())
    some.advance(30 * SECOND)
    some.restart()
    found = parsed(render_metrics_page(some, 1000.0))
    assert (
        value(found, "vllm:prompt_tokens_created") == value(found, "vllm:e2e_request_latency_seconds_created") == 1030.0
    )
    assert found["process_start_time_seconds", ()] == 1030.0


def test_a_model_name_with_quotes_survives() -> None:
    """Backslashes, quotes and line ends in a label value are escaped."""
    found = parsed(render_metrics_page(engine(spec(model='a"b\\c\nd')), 0.0))
    assert value(found, "vllm:num_requests_running", model_name='a"b\\c\nd') == 0


def test_a_value_on_an_edge_belongs_to_its_bucket() -> None:
    """Bucket edges are inclusive."""
    buckets = Buckets((0.5, 1.0))
    for duration in (SECOND // 2, SECOND // 2 + 1, SECOND, 2 * SECOND):
        buckets.observe(duration)
    assert buckets.cumulative() == (1, 3, 4)


def reading(text: str, vllm: Profile) -> EngineReading:
    return read_page(vllm, ExpositionParser(vllm.all_sample_names()).parse(text), server="s", at_seconds=0.0)


def test_the_vllm_profile_reads_every_signal(vllm: Profile) -> None:
    """goodwatt's parser and vLLM profile find every canonical signal on the page, equal to the ground truth."""
    some = drained(300)
    read = reading(render_metrics_page(some, 0.0), vllm)
    signals = {key.signal for key in (*read.counters, *read.histograms)} | {signal for signal, _ in read.gauges}
    assert signals == set(Signal)
    assert read.dropped_lines == 0
    counters = {key.signal: total for key, total in read.counters.items() if key.signal is not Signal.REQUESTS}
    assert counters[Signal.GENERATED_TOKENS] == some.truth.generated_tokens
    assert counters[Signal.PROMPT_TOKENS] == some.truth.prompt_tokens
    assert counters[Signal.CACHED_PROMPT_TOKENS] == some.truth.cached_prompt_tokens
    short = sum(one.succeeded and one.request.output_tokens == 1 for one in some.truth.records)
    assert counters[Signal.ONE_TOKEN_REQUESTS] == short > 0
    succeeded = [total for key, total in read.counters.items() if key.outcome is Outcome.SUCCESS]
    assert sum(succeeded) == some.truth.succeeded
    assert all(key.model == "m" for key in read.counters)


def test_edges_are_vllms_defaults(vllm: Profile) -> None:
    """The simulated histograms have vLLM's default bucket edges, as its profile documents them."""
    defaults = {signal: tuple(edges) for signal, edges in vllm.default_edges.items()}
    assert defaults == {Signal.TTFT: TTFT_EDGES, Signal.TPOT: TOKEN_EDGES, Signal.E2E: REQUEST_EDGES}
