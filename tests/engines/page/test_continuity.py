"""Missing series: a gap continues where it stopped, and a restart counts from zero."""

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
    """The readings of successive pages of one server, each read with the previous one."""
    readings: list[EngineReading] = []
    for page in pages:
        readings.append(reading_of(engine, page, previous=readings[-1] if readings else None))
    return readings


def grown(readings: list[EngineReading], signal: Signal) -> list[float]:
    """The increase of a signal from each page to the next."""
    pairs = pairwise(readings)
    return [sum(v for key, v in counter_increases(one, next_) if key.signal is signal) for one, next_ in pairs]


def test_a_missing_series_continues() -> None:
    """While another counter shows the same process, a series that returns adds only its growth."""
    both = GENERATED % ("m", 500) + PROMPT % 70
    assert grown(
        story(both, PROMPT % 80, PROMPT % 80, GENERATED % ("m", 520) + PROMPT % 90), Signal.GENERATED_TOKENS
    ) == [
        0,
        0,
        20,
    ]


def test_a_restart_forgets_missing_series() -> None:
    """A counter reset means a restart: a series that was missing meanwhile counts from zero."""
    both = GENERATED % ("m", 10) + PROMPT % 70
    readings = story(both, PROMPT % 5, GENERATED % ("m", 25) + PROMPT % 9)
    assert grown(readings, Signal.GENERATED_TOKENS) == [0, 25]
    assert grown(readings, Signal.PROMPT_TOKENS) == [5, 4]


def test_a_page_without_any_count_is_a_restart() -> None:
    """A restarted engine may have no series yet: they count from zero when they appear."""
    assert grown(
        story(GENERATED % ("m", 10), 'vllm:num_requests_running{model_name="m"} 0\n', GENERATED % ("m", 25)),
        (Signal.GENERATED_TOKENS),
    ) == [0, 25]


def test_series_missing_from_a_truncated_page_continue() -> None:
    """A page that ends in the middle of a line is incomplete, even if no counter is left on it."""
    cut = 'vllm:num_requests_running{model_name="m"} 0\nvllm:generation_tok'
    assert grown(story(GENERATED % ("m", 10), cut, GENERATED % ("m", 25)), Signal.GENERATED_TOKENS) == [0, 15]


def test_a_truncated_first_page_is_no_baseline() -> None:
    """A series missing from it may have had any value, so its first value is the baseline."""
    cut = PROMPT % 70 + "vllm:generation_tok"
    readings = story(cut, PROMPT % 80 + GENERATED % ("m", 9000), GENERATED % ("m", 9007) + PROMPT % 80)
    assert grown(readings, Signal.GENERATED_TOKENS) == [0, 7]
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 0]


def test_an_alternative_metric_starts_with_a_baseline() -> None:
    """If a signal's metric is missing once and an older name is read, its total is not counted again."""
    whole = CACHED % 300 + HITS % 300 + PROMPT % 900
    readings = story(whole, HITS % 310 + PROMPT % 920, CACHED % 320 + HITS % 320 + PROMPT % 940)
    assert grown(readings, Signal.CACHED_PROMPT_TOKENS) == [0, 20]
    assert readings[1].switched == {Signal.CACHED_PROMPT_TOKENS}


def test_an_alternative_metric_after_a_restart_counts_from_zero() -> None:
    """A new version behind the address has counted everything since it started."""
    readings = story(HITS % 300 + PROMPT % 900, CACHED % 12 + HITS % 12 + PROMPT % 40)
    assert grown(readings, Signal.CACHED_PROMPT_TOKENS) == [12]


@pytest.mark.parametrize("missing", ["_sum", "_count", "le="])
def test_a_histogram_that_lost_a_part_keeps_its_last_value(missing: str) -> None:
    """Without its sum or its end, a histogram is rejected once and nothing is counted twice."""
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


def test_missing_series_are_bounded() -> None:
    """Only the latest missing series are remembered."""
    readings = story(PROMPT % 1)
    for first in range(0, 5 * MAX_ABSENT_SERIES, MAX_ABSENT_SERIES // 2):
        models = "".join(GENERATED % (f"m{n}", 1) for n in range(first, first + MAX_ABSENT_SERIES // 2))
        readings = story_on(readings[-1], PROMPT % 1 + models)
    assert len(readings[-1].absent.counters) == MAX_ABSENT_SERIES


def story_on(previous: EngineReading, page: str) -> list[EngineReading]:
    return [reading_of("vllm", page, previous=previous)]


def test_a_difference_survives_a_missing_series() -> None:
    """LiteLLM counts by key: if one key's series is missing, a model's requests neither drop nor count twice."""
    total = 'litellm_proxy_total_requests_metric_total{requested_model="m",hashed_api_key="%s"} %d\n'
    tokens = 'litellm_output_tokens_metric_total{requested_model="m",hashed_api_key="%s"} %d\n'
    whole = total % ("a", 7) + total % ("b", 5) + tokens % ("a", 70) + tokens % ("b", 50)
    cut = total % ("a", 8) + tokens % ("a", 80)
    readings = story(whole, cut, whole.replace("} 7", "} 9"), engine="litellm")
    assert grown(readings, Signal.REQUESTS) == [0, 2]
    assert sum(grown(readings, Signal.GENERATED_TOKENS)) == 20


START = "process_start_time_seconds %s\n"


def test_a_later_start_time_is_a_restart() -> None:
    """A process that restarted between two reads and overtook the old counts is detected by its start time."""
    readings = story(START % 1.7e9 + PROMPT % 50, START % 1.7e9 + PROMPT % 60, START % 1700000100.5 + PROMPT % 75)
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 75]


def test_the_same_start_time_is_no_restart() -> None:
    """A page of the same process without any counter was truncated: missing series continue."""
    bare = START % 1.7e9 + 'vllm:num_requests_running{model_name="m"} 0\n'
    readings = story(START % 1.7e9 + PROMPT % 50, bare, START % 1.7e9 + PROMPT % 60)
    assert grown(readings, Signal.PROMPT_TOKENS) == [0, 10]


def test_a_missing_or_earlier_start_time_is_ignored() -> None:
    """Without a start time on both pages, or with a clock set back, only a decrease shows a restart."""
    readings = story(PROMPT % 50, START % 1.7e9 + PROMPT % 60, PROMPT % 70, START % 1.6e9 + PROMPT % 80)
    assert grown(readings, Signal.PROMPT_TOKENS) == [10, 10, 10]
    assert [one.started_unix_seconds for one in readings] == [None, 1.7e9, 1.7e9, 1.6e9]


def test_a_restart_drops_held_values() -> None:
    """An invalid value on a new process's first page is unknown: the old process's value is not kept."""
    readings = story(START % 1.7e9 + PROMPT % 50, START % 1.8e9 + 'vllm:prompt_tokens_total{model_name="m"} NaN\n')
    assert not readings[1].counters
    assert grown(readings, Signal.PROMPT_TOKENS) == [0]


def test_histograms_of_a_new_process_count_from_zero() -> None:
    """With a later start time, observations count from zero even if no bucket decreased."""
    lines = 'vllm:e2e_request_latency_seconds_bucket{model_name="m",le="+Inf"} %d\n'
    one, two = story(START % 1.7e9 + lines % 4, START % 1.8e9 + lines % 9)
    assert [histogram.count for _, histogram in histogram_increases(one, two)] == [9.0]
