import yaml

from goodwatt.engines import load_profile
from goodwatt.engines.page.reader import read_page
from goodwatt.engines.page.series import unknown_outcomes
from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.sources.engine.exposition import ExpositionParser
from tests.engines.golden import HERE, PROFILES, reading_of
from tests.engines.test_profile import MINIMAL

VLLM = 'vllm:%s{engine="0",model_name="m"} %s\n'


def toy(text: str, signals: dict[str, object], previous: EngineReading | None = None, **top: object) -> EngineReading:
    profile = load_profile(yaml.safe_dump(yaml.safe_load(MINIMAL) | {"signals": signals} | top))
    return read_page(
        profile, ExpositionParser(profile.all_sample_names()).parse(text), server="s", at_seconds=0.0, previous=previous
    )


def buckets(
    *counts: float | str, edges: tuple[str, ...] = ("0.1", "1", "+Inf"), name: str = "vllm:time_to_first_token_seconds"
) -> str:
    return "".join(
        f'{name}_bucket{{engine="0",le="{edge}",model_name="m"}} {count}\n'
        for edge, count in zip(edges, counts, strict=True)
    )


def ttft(text: str, previous: EngineReading | None = None) -> tuple[EngineReading, object]:
    reading = reading_of("vllm", text, previous=previous)
    return reading, next((h for k, h in reading.histograms.items() if k.signal is Signal.TTFT), None)


def test_identity_of_a_reading() -> None:
    """A reading has the server, time, engine and simulated flag; an empty page gives no values."""
    profile = PROFILES["vllm"]
    reading = read_page(
        profile, ExpositionParser(profile.all_sample_names()).parse(""), server="a", at_seconds=7.5, simulated=True
    )
    assert (reading.server, reading.at_seconds, reading.engine, reading.simulated) == ("a", 7.5, "vllm", True)
    assert not reading.counters
    assert not reading.gauges
    assert not reading.histograms
    assert reading.engine_version is None


def test_version() -> None:
    """The reading has the engine's version if the profile names a label for it."""
    signals = {"generated_tokens": [{"sum": [{"metric": "t"}]}]}
    top = {"version_label": ["toy_info", "version"]}
    assert toy('toy_info{a="b",version="1.2"} 1\n', signals, **top).engine_version == "1.2"
    assert toy('toy_info{a="b"} 1\n', signals, **top).engine_version is None


def test_default_model() -> None:
    """Series with no model label, or an empty one, belong to the caller's default model."""
    text = 'llamacpp:tokens_predicted_total 5\nllamacpp:requests_processing{model_name=""} 1\n'
    reading = reading_of("llamacpp", text, default_model="gemma")
    assert {key.model for key in reading.counters} == {model for _, model in reading.gauges} == {"gemma"}


def test_scale() -> None:
    """The factor converts a metric, its bucket edges and its sum to the canonical unit."""
    signals: dict[str, object] = {
        "generated_tokens": [{"sum": [{"metric": "kilotokens", "scale": 1000.0}]}],
        "kv_cache_usage": [{"sum": [{"metric": "percent", "scale": 0.01}]}],
        "ttft": [{"sum": [{"metric": "ttft_ms", "scale": 0.001}]}],
    }
    text = 'kilotokens 2\npercent 50\nttft_ms_bucket{le="250"} 1\nttft_ms_bucket{le="+Inf"} 2\nttft_ms_sum 900\n'
    reading = toy(text, signals)
    assert list(reading.counters.values()) == [2000.0]
    assert list(reading.gauges.values()) == [0.5]
    (histogram,) = reading.histograms.values()
    assert (histogram.edges, histogram.counts, histogram.count, histogram.sum) == ((0.25,), (1.0,), 2.0, 0.9)


def test_filters() -> None:
    """`where` keeps and `unless` drops series by label value."""
    signals: dict[str, object] = {
        "generated_tokens": [{"sum": [{"metric": "t", "where": {"kind": ["a", "b"]}, "unless": {"side": ["left"]}}]}]
    }
    text = 't{kind="a"} 1\nt{kind="b",side="left"} 10\nt{kind="c"} 100\nt 1000\n'
    assert sum(toy(text, signals).counters.values()) == 1.0


def test_first_alternative_wins() -> None:
    """Old names are read only if the new ones are not on the page."""
    both = VLLM % ("kv_cache_usage_perc", 0.5) + VLLM % ("gpu_cache_usage_perc", 0.9)
    assert list(reading_of("vllm", both).gauges.values()) == [0.5]
    assert list(reading_of("vllm", VLLM % ("gpu_cache_usage_perc", 0.9)).gauges.values()) == [0.9]


def test_broken_line_does_not_change_the_alternative() -> None:
    """A metric with a malformed line still counts as present: an older name does not replace it."""
    broken = VLLM % ("kv_cache_usage_perc", "?") + VLLM % ("gpu_cache_usage_perc", 0.9)
    assert not reading_of("vllm", broken).gauges


def test_splits_stay_apart() -> None:
    """Two counters of one signal stay two series, so a reset of one is seen."""
    reading = reading_of("llamacpp", "llamacpp:prompt_tokens_total 5\nllamacpp:prompt_tokens_cached_total 3\n")
    prompts = {key.series: value for key, value in reading.counters.items() if key.signal is Signal.PROMPT_TOKENS}
    assert prompts == {"llamacpp:prompt_tokens_total": 5.0, "llamacpp:prompt_tokens_cached_total": 3.0}


def test_outcomes() -> None:
    """Finish reasons become outcomes; an unknown one counts as `otherwise`, as a separate series, and is reported."""
    reasons = ("stop", "length", "repetition", "abort", "error", "quota")
    text = "".join(
        f'vllm:request_success_total{{engine="0",finished_reason="{reason}",model_name="m"}} {2**at}\n'
        for at, reason in enumerate(reasons)
    )
    counters = reading_of("vllm", text).counters
    sums = {o: sum(v for k, v in counters.items() if k.outcome is o) for o in Outcome}
    assert sums == {Outcome.SUCCESS: 1 + 2 + 4 + 32, Outcome.CANCELLED: 8, Outcome.ERROR: 16, Outcome.REJECTED: 0}
    assert len(counters) == len(reasons)
    profile = PROFILES["vllm"]
    assert unknown_outcomes(profile, ExpositionParser(profile.all_sample_names()).parse(text)) == ("quota",)
    assert unknown_outcomes(PROFILES["sglang"], ExpositionParser(profile.all_sample_names()).parse(text)) == ()


def sglang_requests(total: float, aborted: float | None, previous: EngineReading | None = None) -> EngineReading:
    text = "".join(
        f'sglang:num_requests_total{{engine_type="unified",is_streaming="{s}",model_name="m"}} {total / 2}\n'
        for s in ("true", "false")
    )
    if aborted is not None:
        text += f'sglang:num_aborted_requests_total{{engine_type="unified",model_name="m"}} {aborted}\n'
    return reading_of("sglang", text, previous=previous)


def succeeded(reading: EngineReading) -> float:
    return next(v for k, v in reading.counters.items() if k.outcome is Outcome.SUCCESS)


def test_aborted_requests_are_subtracted() -> None:
    """SGLang's finished requests include aborted ones: success is the difference, or all before any abort."""
    assert succeeded(sglang_requests(10, 3)) == 7
    assert succeeded(sglang_requests(10, None)) == 10
    assert {k.outcome for k in sglang_requests(10, None).counters} == {Outcome.SUCCESS}


def test_an_early_abort_is_no_reset() -> None:
    """An abort counted before its request finishes never makes success decrease."""
    first = sglang_requests(10, None)
    second = sglang_requests(10, 1, first)
    third = sglang_requests(10, 1, second)
    fourth = sglang_requests(12, 1, third)
    assert [succeeded(r) for r in (first, second, third, fourth)] == [10, 10, 10, 11]


def test_a_restart_is_a_reset() -> None:
    """After a restart the difference starts again and is never negative."""
    before = sglang_requests(10, 2)
    assert succeeded(sglang_requests(2, 0, before)) == 2
    assert succeeded(sglang_requests(2, 4, before)) == 0


def test_a_malformed_abort_line() -> None:
    """With an invalid abort count, success keeps its last value, or is unknown without one."""
    text = 'sglang:num_requests_total{model_name="m"} 9\nsglang:num_aborted_requests_total{model_name="m"} x\n'
    before = sglang_requests(8, 2)
    assert succeeded(reading_of("sglang", text, previous=before)) == 6
    assert not reading_of("sglang", text).counters


def test_disaggregated_sides() -> None:
    """With disaggregated prefill, prompts count on the prefill side and finished requests on the decode side."""
    line = 'sglang:%s{engine_type="%s",model_name="m"} 5\n'
    metrics = ("prompt_tokens_total", "cached_tokens_total", "num_requests_total", "generation_tokens_total")
    signals = {
        side: {k.signal for k in reading_of("sglang", "".join(line % (m, side) for m in metrics)).counters}
        for side in ("prefill", "decode")
    }
    assert signals["prefill"] == {Signal.PROMPT_TOKENS, Signal.CACHED_PROMPT_TOKENS, Signal.GENERATED_TOKENS}
    assert signals["decode"] == {Signal.REQUESTS, Signal.GENERATED_TOKENS}


def test_ranks_are_compared_as_numbers() -> None:
    """Rank 9 is below rank 10, each replica has its own lowest rank, and process ids are ignored."""
    line = 'sglang:num_queue_reqs{dp_rank="%s",model_name="m",pid="%s",tp_rank="%s"} %s\n'
    text = line % (0, 1, 10, 100) + line % (0, 2, 9, 1) + line % (1, 3, 12, 1000) + line % (1, 4, 11, 2)
    assert reading_of("sglang", text).gauges == {(Signal.REQUESTS_WAITING, "m"): 3.0}


def test_histogram() -> None:
    """Bucket edges ascend whatever the line order, and the +Inf bucket is the count."""
    text = buckets("7", "3", "1", edges=("+Inf", "1", "0.1"))
    _, histogram = ttft(text + VLLM % ("time_to_first_token_seconds_sum", 2.5))
    assert histogram == reading_histogram((0.1, 1.0), (1, 3), 7, 2.5)


def reading_histogram(edges: tuple[float, ...], counts: tuple[float, ...], count: float, total: float | None) -> object:
    from goodwatt.model.histogram import Histogram

    return Histogram(edges=edges, counts=counts, count=count, sum=total)


def test_spellings_of_infinity() -> None:
    """le="Inf" is also the last bucket."""
    for spelling in ("Inf", "inf", "+inf", "Infinity"):
        assert ttft(buckets(1, 2, 3, edges=("0.1", "1", spelling)))[1] == reading_histogram((0.1, 1.0), (1, 2), 3, None)


def test_without_infinity() -> None:
    """`_count` replaces a missing +Inf bucket; without both the histogram is rejected."""
    two = buckets(1, 2, edges=("0.1", "1"))
    assert ttft(two + VLLM % ("time_to_first_token_seconds_count", 4))[1] == reading_histogram(
        (0.1, 1.0), (1, 2), 4, None
    )
    reading, histogram = ttft(two)
    assert histogram is None
    assert reading.dropped_lines == 1


def test_repeated_edge() -> None:
    """Of two buckets with the same edge, the first counts."""
    assert ttft(buckets(1, 2, 9, 3, edges=("0.1", "1", "1.0", "+Inf")))[1] == reading_histogram(
        (0.1, 1.0), (1, 2), 3, None
    )


def test_decreasing_buckets() -> None:
    """A histogram with decreasing cumulative counts is rejected and counted; the rest of the page is read."""
    for bad in (buckets(5, 3, 7), buckets(1, 2, 1)):
        reading, histogram = ttft(bad + VLLM % ("generation_tokens_total", 3))
        assert histogram is None
        assert reading.dropped_lines == 1
        assert list(reading.counters.values()) == [3.0]


def test_invalid_edges() -> None:
    """A missing, negative or non-numeric edge invalidates its series, not the page."""
    for bad in (
        buckets(1, 2, 3, edges=("abc", "1", "+Inf")),
        buckets(1, 2, 3, edges=("0.1", "-1", "+Inf")),
        buckets(1, 2, 3, edges=("0.1", "nan", "+Inf")),
        'vllm:time_to_first_token_seconds_bucket{model_name="m"} 1\n',
    ):
        reading, histogram = ttft(bad)
        assert histogram is None
        assert reading.dropped_lines == 1


def test_a_malformed_bucket_keeps_the_last_histogram() -> None:
    """The histogram keeps its last value: no growth and no counter reset."""
    good, histogram = ttft(buckets(1, 2, 3))
    for broken in (
        buckets(1, "x", 4),
        buckets(5, 2, 4),
        buckets(1, 2, 4) + VLLM % ("time_to_first_token_seconds_count", -4),
        buckets(1, 2, 4) + VLLM % ("time_to_first_token_seconds_sum", "NaN"),
    ):
        later, kept = ttft(broken, previous=good)
        assert kept == histogram
        assert later.dropped_lines == 1
        assert ttft(broken)[1] is None


def test_an_invalid_counter_keeps_its_value() -> None:
    """A negative, huge or non-numeric counter keeps its last value; other counters are unaffected."""
    good = reading_of("vllm", VLLM % ("generation_tokens_total", 10) + VLLM % ("prompt_tokens_total", 20))
    generated = SeriesId(signal=Signal.GENERATED_TOKENS, model="m", series="vllm:generation_tokens_total{engine=0}")
    for value in ("-1", "1e301", "NaN", "+Inf", "-Inf", "ten", ""):
        later = reading_of("vllm", VLLM % ("generation_tokens_total", value), previous=good)
        assert later.counters == {generated: 10.0}
        assert later.dropped_lines == 1


def test_signals_with_damaged_metrics_are_unread() -> None:
    """A signal with a damaged metric is listed as unread; an absent or valid one is not."""
    text = VLLM % ("generation_tokens_total", "NaN") + VLLM % ("prompt_tokens_total", 5)
    assert reading_of("vllm", text).unread == {Signal.GENERATED_TOKENS}
    assert ttft(buckets(5, 2, 9))[0].unread == {Signal.TTFT}
    assert reading_of("vllm", VLLM % ("prompt_tokens_total", 5)).unread == frozenset()


def test_another_engine_keeps_no_values() -> None:
    """Values of the engine previously at this address are dropped."""
    good = reading_of("vllm", VLLM % ("generation_tokens_total", 10))
    assert not reading_of("sglang", "sglang:generation_tokens_total x\n", previous=good).counters


def test_gauges_with_an_edge_label() -> None:
    """SGLang's routing-key gauges have an le label; they are neither read nor counted as malformed."""
    text = (HERE / "sglang/0.5.23/multiproc-generated.prom").read_text()
    assert 'routing_key_all_req_count{engine_type="unified",gt="0",le=' in text
    reading = reading_of("sglang", text)
    assert reading.dropped_lines == 0
    assert not any("routing_key" in key.series for key in reading.histograms)


def test_throughput_gauges_are_never_read() -> None:
    """llama.cpp's gauges that each scrape resets are not read."""
    assert not {name for name in PROFILES["llamacpp"].all_sample_names() if name.endswith("tokens_seconds")}
