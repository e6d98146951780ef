"""Pages that lack series: what is missing for once goes on where it was, and what has started anew is all new."""

from itertools import pairwise

import pytest

from goodwatt.derive.counters import counter_increases, histogram_increases
from goodwatt.engines.page.continuity import MAX_ABSENT_SERIES
from goodwatt.model.engine import EngineReading, Signal
from tests.engines.golden import reading_of

GENERATED = 'vllm:generation_tokens_total{model_name="%s"} %d\n'
PROMPT = 'vllm:prompt_tokens_total{model_name="m"} %d\n'
HITS = 'vllm:prefix_cache_hits_total{model_name="m"} %d\n'
CACHED = 'vllm:prompt_tokens_cached_total{model_name="m"} %d\n'


def story(*pages: str, engine: str = "vllm") -> list[EngineReading]:
    """The readings of one server's pages, each told of the one before."""
    readings: list[EngineReading] = []
    for page in pages:
        readings.append(reading_of(engine, page, previous=readings[-1] if readings else None))
    return readings


def grown(readings: list[EngineReading], signal: Signal) -> list[float]:
    """What a signal grew by from each page to the next."""
    pairs = pairwise(readings)
    return [sum(v for key, v in counter_increases(one, next_) if key.signal is signal) for one, next_ in pairs]


def test_a_series_that_is_missing_for_once_goes_on() -> None:
    """Another counter shows that the engine did not start anew: only what came on top is counted."""
    both = GENERATED % ("m", 500) + PROMPT % 70
    assert grown(
        story(both, PROMPT % 80, PROMPT % 80, GENERATED % ("m", 520) + PROMPT % 90), Signal.GENERATED_TOKENS
    ) == [
        0,
        0,
        20,
    ]


def test_a_restart_forgets_what_was_missing() -> None:
    """A counter that fell shows a restart: a series that was missing meanwhile starts from zero."""
    both = GENERATED % ("m", 10) + PROMPT % 70
    readings = story(both, PROMPT % 5, GENERATED % ("m", 25) + PROMPT % 9)
    assert grown(readings, Signal.GENERATED_TOKENS) == [0, 25]
    assert grown(readings, Signal.PROMPT_TOKENS) == [5, 4]


def test_a_page_without_any_count_is_a_restart() -> None:
    """An engine that has started anew and counted nothing yet has no series: they begin at zero when they come."""
    assert grown(
        story(GENERATED % ("m", 10), 'vllm:num_requests_running{model_name="m"} 0\n', GENERATED % ("m", 25)),
        (Signal.GENERATED_TOKENS),
    ) == [0, 25]


def test_what_is_missing_from_a_page_that_was_cut_goes_on() -> None:
    """A page that ends within a line proves that more was there, even if nothing that counts is left of it."""
    cut = 'vllm:num_requests_running{model_name="m"} 0\nvllm:generation_tok'
    assert grown(story(GENERATED % ("m", 10), cut, GENERATED % ("m", 25)), Signal.GENERATED_TOKENS) == [0, 15]


def test_a_first_page_that_was_cut_is_no_baseline_for_what_it_lacks() -> None:
    """A series that may have been on it with any value is a baseline when it is first seen."""
    cut = PROMPT % 70 + "vllm:generation_tok"
    readings = story(cut, PROMPT % 80 + GENERATED % ("m", 9000), GENERATED % ("m", 9007) + PROMPT % 80)
    assert grown(readings, Signal.GENERATED_TOKENS) == [0, 7]
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 0]


def test_another_name_for_a_signal_is_a_baseline() -> None:
    """Where a signal's own metric is missing for once and an older name is read, its total is not counted again."""
    whole = CACHED % 300 + HITS % 300 + PROMPT % 900
    readings = story(whole, HITS % 310 + PROMPT % 920, CACHED % 320 + HITS % 320 + PROMPT % 940)
    assert grown(readings, Signal.CACHED_PROMPT_TOKENS) == [0, 20]
    assert readings[1].switched == {Signal.CACHED_PROMPT_TOKENS}


def test_another_name_after_a_restart_counts_from_zero() -> None:
    """An engine of another version behind the address has counted all of it since it started."""
    readings = story(HITS % 300 + PROMPT % 900, CACHED % 12 + HITS % 12 + PROMPT % 40)
    assert grown(readings, Signal.CACHED_PROMPT_TOKENS) == [12]


@pytest.mark.parametrize("missing", ["_sum", "_count", "le="])
def test_a_histogram_that_lost_a_part_keeps_its_last_value(missing: str) -> None:
    """Without its sum, or without its end, a histogram is refused for once, and nothing of it is counted again."""
    name = "vllm:e2e_request_latency_seconds"
    whole = "".join(f'{name}_bucket{{model_name="m",le="{edge}"}} 4\n' for edge in ("1", "2", "+Inf"))
    whole += f'{name}_count{{model_name="m"}} 4\n{name}_sum{{model_name="m"}} 3.5\n'
    without_end = [line for line in whole.splitlines(keepends=True) if "+Inf" not in line and "_count" not in line]
    without_sum = [line for line in whole.splitlines(keepends=True) if "_sum" not in line]
    without_buckets = [line for line in whole.splitlines(keepends=True) if "le=" not in line]
    page = "".join({"_sum": without_sum, "_count": without_end, "le=": without_buckets}[missing])
    readings = story(whole + PROMPT % 1, page + PROMPT % 1, whole + PROMPT % 1)
    for before, after in pairwise(readings):
        assert not any(one.count or one.sum for _, one in histogram_increases(before, after))
    assert readings[2].histograms == readings[0].histograms


def test_replicas_that_came_and_went_fill_no_memory() -> None:
    """Of series that are missing the latest are remembered."""
    readings = story(PROMPT % 1)
    for first in range(0, 5 * MAX_ABSENT_SERIES, MAX_ABSENT_SERIES // 2):
        models = "".join(GENERATED % (f"m{n}", 1) for n in range(first, first + MAX_ABSENT_SERIES // 2))
        readings = story_on(readings[-1], PROMPT % 1 + models)
    assert len(readings[-1].absent.counters) == MAX_ABSENT_SERIES


def story_on(previous: EngineReading, page: str) -> list[EngineReading]:
    return [reading_of("vllm", page, previous=previous)]


def test_a_difference_of_sums_does_not_fall_with_a_missing_part() -> None:
    """LiteLLM counts by key: with one key's series missing, the requests of a model neither fall nor count again."""
    total = 'litellm_proxy_total_requests_metric_total{requested_model="m",hashed_api_key="%s"} %d\n'
    tokens = 'litellm_output_tokens_metric_total{requested_model="m",hashed_api_key="%s"} %d\n'
    whole = total % ("a", 7) + total % ("b", 5) + tokens % ("a", 70) + tokens % ("b", 50)
    cut = total % ("a", 8) + tokens % ("a", 80)
    readings = story(whole, cut, whole.replace("} 7", "} 9"), engine="litellm")
    assert grown(readings, Signal.REQUESTS) == [0, 2]
    assert sum(grown(readings, Signal.GENERATED_TOKENS)) == 20


START = "process_start_time_seconds %s\n"


def test_a_later_start_makes_all_counts_new() -> None:
    """A process that came back between two reads and has counted more than the old one is told by its start time."""
    readings = story(START % 1.7e9 + PROMPT % 50, START % 1.7e9 + PROMPT % 60, START % 1700000100.5 + PROMPT % 75)
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 75]


def test_the_same_start_shows_that_nothing_began_anew() -> None:
    """A page of the same process without a single count was cut off: what is missing goes on."""
    bare = START % 1.7e9 + 'vllm:num_requests_running{model_name="m"} 0\n'
    readings = story(START % 1.7e9 + PROMPT % 50, bare, START % 1.7e9 + PROMPT % 60)
    assert grown(readings, Signal.PROMPT_TOKENS) == [0, 10]


def test_a_start_that_is_not_told_or_lies_before_changes_nothing() -> None:
    """Without the line on either page, or with a clock that was set back, only a fall shows a restart."""
    readings = story(PROMPT % 50, START % 1.7e9 + PROMPT % 60, PROMPT % 70, START % 1.6e9 + PROMPT % 80)
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 10, 10]
    assert [one.started_unix_seconds for one in readings] == [None, 1.7e9, 1.7e9, 1.6e9]


def test_a_value_that_is_held_is_not_of_the_new_run() -> None:
    """What cannot be believed on the first page of a new process is unknown: the old one's value is not kept."""
    readings = story(START % 1.7e9 + PROMPT % 50, START % 1.8e9 + 'vllm:prompt_tokens_total{model_name="m"} NaN\n')
    assert not readings[1].counters
    assert grown(readings, Signal.PROMPT_TOKENS) == [0]


def test_histograms_of_a_new_run_are_new() -> None:
    """Observations of a process that started later count from zero, though no bucket has fallen."""
    lines = 'vllm:e2e_request_latency_seconds_bucket{model_name="m",le="+Inf"} %d\n'
    one, two = story(START % 1.7e9 + lines % 4, START % 1.8e9 + lines % 9)
    assert [histogram.count for _, histogram in histogram_increases(one, two)] == [9.0]
