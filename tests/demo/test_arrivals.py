from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings

from goodwatt.demo.arrivals import CACHE_BLOCK_TOKENS, Ending, arrival_rate, arrivals
from goodwatt.demo.server_spec import Lengths, Load
from tests.demo.builders import SECOND, load, loads


def test_the_same_seed_sends_the_same_requests() -> None:
    """Streams with the same seed are equal; another seed gives a different stream."""
    first, again, other = (list(islice(arrivals(load(), Random(seed)), 50)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@settings(deadline=None, max_examples=50)
@given(loads)
def test_requests_are_in_order_and_within_their_load(some: Load) -> None:
    """Request numbers and arrival times increase, and every length is within the load's limits."""
    requests = list(islice(arrivals(some, Random(1)), 60))
    assert [request.number for request in requests] == list(range(len(requests)))
    assert [request.arrival_ns for request in requests] == sorted(request.arrival_ns for request in requests)
    for request in requests:
        assert 1 <= request.prompt_tokens <= some.prompt.maximum
        assert 1 <= request.output_tokens <= some.output.maximum
        assert 0 <= request.cached_tokens < request.prompt_tokens
        assert request.cached_tokens % CACHE_BLOCK_TOKENS == 0


def test_the_stream_is_poisson_at_the_stated_rate() -> None:
    """Counts in equal windows have the configured mean and an equal variance, as Poisson counts do."""
    counts = [0] * 2000
    for request in arrivals(load(10.0, total_requests=20_500), Random(11)):
        if request.arrival_ns < 2000 * SECOND:
            counts[request.arrival_ns // SECOND] += 1
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert mean == pytest.approx(10.0, rel=0.03)
    assert variance == pytest.approx(mean, rel=0.12)


def test_the_rate_swings_once_a_day() -> None:
    """The rate starts each day at its mean, peaks at a quarter and is lowest at three quarters; arrivals follow it."""
    swinging = load(10.0, swing_ratio=0.8, day_seconds=100.0, total_requests=10_000)
    assert [round(arrival_rate(swinging, at), 6) for at in (0.0, 25.0, 75.0)] == [10.0, 18.0, 2.0]
    halves = [0, 0]
    for request in arrivals(swinging, Random(2)):
        halves[request.arrival_ns // SECOND % 100 >= 50] += 1
    assert halves[0] / halves[1] == pytest.approx((1 + 1.6 / 3.1416) / (1 - 1.6 / 3.1416), rel=0.1)


def test_shares_are_what_the_load_states() -> None:
    """The shares of cached prompts, single-token requests and disconnects match the configuration."""
    some = load(10.0, cached_share=0.4, one_token_share=0.2, disconnect_share=0.5, total_requests=5000)
    requests = list(arrivals(some, Random(5)))
    shares = [
        sum(request.cached_tokens > 0 for request in requests) / 5000,
        sum(request.output_tokens == 1 and request.ending is Ending.STOP for request in requests) / 5000,
        sum(request.ending is Ending.DISCONNECT for request in requests) / 5000,
    ]
    assert shares == pytest.approx([0.4, 0.2, 0.4], abs=0.03)


def test_a_request_cut_off_at_the_maximum_ends_by_length() -> None:
    """An output of maximum length ends with `length`, any other with `stop`."""
    short = load(10.0, output=Lengths(median=50, spread=1.0, maximum=60), disconnect_share=0.0, total_requests=200)
    endings = {request.output_tokens == 60: request.ending for request in arrivals(short, Random(5))}
    assert endings == {True: Ending.LENGTH, False: Ending.STOP}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"requests_per_second": 0.0}, "requests_per_second and day_seconds above 0"),
        ({"day_seconds": 0.0}, "requests_per_second and day_seconds above 0"),
        ({"swing_ratio": 1.5}, "must be in 0..1"),
        ({"disconnect_share": -0.1}, "must be in 0..1"),
    ],
)
def test_an_impossible_load_is_refused(changes: dict[str, float], words: str) -> None:
    """An impossible load raises ValueError with one line that says what is allowed."""
    with pytest.raises(ValueError, match=words):
        Load(**{"requests_per_second": 1.0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [(0, 0.5, 10), (11, 0.5, 10), (5, -1.0, 10)])
def test_impossible_lengths_are_refused(wrong: tuple[int, float, int]) -> None:
    """Lengths without a possible token count raise ValueError."""
    with pytest.raises(ValueError, match="1 <= median <= maximum"):
        Lengths(*wrong)
