from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodwatt.demo.arrivals import Ending
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.metrics_page import render_metrics_page
from goodwatt.demo.physics import LLAMA_8B_ON_H100
from goodwatt.demo.server_spec import Lengths, SimulatedServer
from tests.demo.builders import SECOND, drained, engine, load, servers, spec

SMALL_CACHE = replace(LLAMA_8B_ON_H100, kv_cache_tokens=8000)
times = st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=12)


def everything(some: SimulatedEngine) -> tuple[object, ...]:
    return (
        render_metrics_page(some, 0.0),
        some.truth,
        some.power.picojoules,
        some.power.mean_milliwatts(),
        some.kv_cache_ratio,
    )


def arrived_is_accounted_for(some: SimulatedEngine) -> bool:
    truth = some.truth
    return truth.arrived == some.waiting + some.running + truth.succeeded + truth.disconnected + truth.lost


@settings(deadline=None, max_examples=60)
@given(servers, times)
def test_how_time_is_cut_changes_nothing(server: SimulatedServer, steps: list[int]) -> None:
    """Advancing in one step or in many small ones gives exactly the same page, truth, joules and power."""
    leap, walk, at = engine(server), engine(server), 0
    for step in steps:
        at += step
        walk.advance(at)
    leap.advance(at)
    assert everything(leap) == everything(walk)


@pytest.mark.parametrize("parts", [1, 1000])
def test_the_step_in_flight_keeps_its_length_when_a_fault_begins(parts: int) -> None:
    """Slowed fourfold in the middle of a step, a lone request ends when its remaining steps say, to the nanosecond,
    whether the engine leaps or walks."""
    alone = engine(spec(load(0.01, disconnect_share=0.0, one_token_share=0.0, total_requests=1)))
    healthy = engine(alone.spec)
    healthy.advance(1000 * SECOND)
    (record,) = healthy.truth.records
    step_ns = record.tpot_ns
    alone.advance(record.first_token_ns + 5 * step_ns + step_ns // 2)
    alone.slow_down(4.0)
    slowed_ns = alone.now_ns
    for part in range(1, parts + 1):
        alone.advance(slowed_ns + 1000 * SECOND * part // parts)
    (slowed,) = alone.truth.records
    healthy_steps, slow_steps = 6, record.request.output_tokens - 1 - 6
    assert slowed.ended_ns == record.first_token_ns + (healthy_steps + 4 * slow_steps) * step_ns


def test_steps_follow_each_other() -> None:
    """No step starts before the previous one ends, even if a request arrives during another's last step."""
    some = drained(500, spec(load(25.0, one_token_share=1.0, total_requests=500)))
    steps = sorted({(record.admitted_ns, record.first_token_ns) for record in some.truth.records})
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(steps))
    assert any(record.queue_ns > 0 for record in some.truth.records)


@settings(deadline=None, max_examples=60)
@given(servers, times)
def test_every_request_is_somewhere_and_limits_hold(server: SimulatedServer, steps: list[int]) -> None:
    """At any moment arrived = waiting + running + succeeded + disconnected + lost, seats and cache are not overbooked,
    and no counter has fallen."""
    some, at, before = engine(server), 0, 0
    for step in steps:
        at += step
        some.advance(at)
        assert arrived_is_accounted_for(some)
        assert 0 <= some.running <= server.max_num_seqs
        assert 0.0 <= some.kv_cache_ratio <= 1.0
        assert some.truth.generated_tokens >= before
        before = some.truth.generated_tokens


@settings(deadline=None, max_examples=40)
@given(servers, times, st.floats(0.5, 4.0))
def test_faults_change_no_request_and_lose_none(server: SimulatedServer, steps: list[int], factor: float) -> None:
    """With restarts and slow steps at any time, the same requests arrive and each one is accounted for."""
    healthy, faulty, at = engine(server), engine(server), 0
    for number, step in enumerate(steps):
        at += step
        healthy.advance(at)
        faulty.advance(at)
        if number % 2:
            faulty.restart()
        else:
            faulty.slow_down(factor)
        assert arrived_is_accounted_for(faulty)
        assert faulty.truth.arrived == healthy.truth.arrived


def test_the_same_seed_gives_the_same_history() -> None:
    """Engines with the same seed are equal in everything; another seed differs."""
    first, again, other = (engine(spec(), seed) for seed in (1, 1, 2))
    for some in (first, again, other):
        some.advance(60 * SECOND)
    assert everything(first) == everything(again)
    assert render_metrics_page(first, 0.0) != render_metrics_page(other, 0.0)


def test_a_drained_engine_has_generated_exactly_what_was_asked_for() -> None:
    """After all requests, tokens equal the sum over requests, the cache is empty and power is idle."""
    some = drained(400)
    requests = [record.request for record in some.truth.records]
    assert len(requests) == some.truth.arrived == 400
    assert some.truth.generated_tokens == sum(request.output_tokens for request in requests)
    assert some.truth.prompt_tokens == sum(request.prompt_tokens for request in requests)
    assert some.truth.cached_prompt_tokens == sum(request.cached_tokens for request in requests)
    assert (some.running, some.waiting, some.kv_cache_ratio) == (0, 0, 0.0)
    assert some.power.mean_milliwatts() == LLAMA_8B_ON_H100.idle_milliwatts


def test_a_lone_request_takes_exactly_its_steps() -> None:
    """A single request does not queue, gets its first token after one step and one more token per step."""
    alone = engine(spec(load(0.01, disconnect_share=0.0, one_token_share=0.0, total_requests=1)))
    alone.advance(1000 * SECOND)
    (record,) = alone.truth.records
    first = LLAMA_8B_ON_H100.step(1, record.request.prompt_tokens - record.request.cached_tokens)
    assert record.queue_ns == 0
    assert record.ttft_ns == first.duration_ns
    assert record.tpot_ns == LLAMA_8B_ON_H100.step(1, 0).duration_ns
    assert record.e2e_ns == record.ttft_ns + record.tpot_ns * (record.request.output_tokens - 1)
    busy_pj = (
        first.prefill_ns * first.prefill_milliwatts
        + (first.decode_ns + record.e2e_ns - record.ttft_ns) * first.decode_milliwatts
    )
    idle_pj = (1000 * SECOND - record.e2e_ns) * LLAMA_8B_ON_H100.idle_milliwatts
    assert alone.power.picojoules == busy_pj + idle_pj


def test_littles_law_holds() -> None:
    """Little's law: mean requests in a stable server equal arrivals per second times mean time in the server."""
    some = engine(spec(load(8.0, disconnect_share=0.0)))
    inside = 0
    for tick in range(1, 12_001):
        some.advance(tick * SECOND // 10)
        inside += some.running + some.waiting
    records = some.truth.records
    seconds_inside = sum(record.e2e_ns for record in records) / len(records) / SECOND
    assert inside / 12_000 == pytest.approx(some.truth.arrived / 1200 * seconds_inside, rel=0.02)


def test_a_fuller_batch_gives_each_request_fewer_tokens_a_second() -> None:
    """Mean time per output token grows with the load."""

    def tpot(requests_per_second: float) -> float:
        some = engine(spec(load(requests_per_second)))
        some.advance(120 * SECOND)
        return sum(record.tpot_ns for record in some.truth.records) / len(some.truth.records)

    assert tpot(1.0) < tpot(6.0) < tpot(16.0)


def test_overload_makes_requests_wait_and_not_run() -> None:
    """Beyond its batch size a server queues in order of arrival, and time to first token grows with the queue."""
    some = engine(spec(load(20.0), max_num_seqs=8))
    some.advance(60 * SECOND)
    assert some.running == 8
    assert some.waiting > 100
    admitted = [record.admitted_ns for record in sorted(some.truth.records, key=lambda r: r.request.number)]
    assert admitted == sorted(admitted)
    assert max(record.ttft_ns for record in some.truth.records) > 10 * SECOND


def test_a_full_cache_makes_requests_wait() -> None:
    """Requests wait while the KV cache is full even if the batch is not, and the cache is never overcommitted."""
    tight = drained(50, spec(load(50.0, total_requests=50), physics=SMALL_CACHE, max_num_seqs=256))
    assert tight.truth.succeeded + tight.truth.disconnected == 50
    some = engine(spec(load(50.0, total_requests=50), physics=SMALL_CACHE, max_num_seqs=256))
    some.advance(2 * SECOND)
    assert some.waiting > 0
    assert some.running < 20


def test_a_long_prompt_alone_may_exceed_the_token_budget() -> None:
    """A prompt above max_batched_tokens is still served, alone in its step."""
    some = drained(30, spec(load(50.0, prompt=Lengths(500, 0.1, 1000), total_requests=30), max_batched_tokens=100))
    first_tokens = [record.first_token_ns for record in some.truth.records]
    assert len(set(first_tokens)) == 30


def test_a_slowed_engine_takes_longer_from_the_next_step_on() -> None:
    """After slow_down(4) new requests take four times as long per output token; after slow_down(1) they do not."""
    some = engine(spec(load(0.2, total_requests=90, disconnect_share=0.0, one_token_share=0.0)))
    means = []
    for factor in (1.0, 4.0, 1.0):
        some.slow_down(factor)
        ended = len(some.truth.records)
        some.advance(some.now_ns + 100 * SECOND)
        new = [
            record
            for record in list(some.truth.records)[ended:]
            if record.request.arrival_ns > some.now_ns - 100 * SECOND
        ]
        means.append(sum(record.tpot_ns for record in new) / len(new))
    assert means[1] / means[0] == pytest.approx(4.0, rel=0.05)
    assert means[2] / means[0] == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_step_cannot_take_no_time(factor: float) -> None:
    """slow_down raises ValueError for a factor that is not above 0, saying what to give."""
    with pytest.raises(ValueError, match="give a factor above 0"):
        engine(spec()).slow_down(factor)


def test_a_restart_zeroes_the_page_and_nothing_else() -> None:
    """A restart resets the page's counters; energy, the ground truth and later arrivals continue."""
    some = engine(spec(load(8.0)))
    some.advance(60 * SECOND)
    tokens, joules, inside = some.truth.generated_tokens, some.power.picojoules, some.running + some.waiting
    some.restart()
    assert (some.counters.generated_tokens, some.running, some.waiting, some.kv_cache_ratio) == (0, 0, 0, 0.0)
    assert (some.truth.generated_tokens, some.power.picojoules, some.truth.lost) == (tokens, joules, inside)
    some.advance(120 * SECOND)
    assert some.counters.generated_tokens > 0
    assert some.truth.generated_tokens == tokens + some.counters.generated_tokens
    assert some.power.picojoules > joules


def test_a_disconnect_counts_tokens_and_first_token_only() -> None:
    """As in vLLM, a disconnected client counts on the page only with its tokens and its TTFT."""
    some = drained(200, spec(load(8.0, disconnect_share=1.0, one_token_share=0.0, total_requests=200)))
    gone = sum(record.request.ending is Ending.DISCONNECT for record in some.truth.records)
    assert gone == some.truth.disconnected > 190
    assert some.counters.generated_tokens == sum(record.request.output_tokens for record in some.truth.records)
    assert some.counters.ttft.cumulative()[-1] == 200
    for buckets in (
        some.counters.tpot,
        some.counters.e2e,
        some.counters.queue,
        some.counters.prefill,
        some.counters.decode,
    ):
        assert buckets.cumulative()[-1] == 200 - gone
    assert sum(some.counters.finished.values()) == 200 - gone


def test_a_single_token_has_no_time_per_token() -> None:
    """A request for one token has a TPOT of 0 s, as in vLLM."""
    some = drained(50, spec(load(8.0, one_token_share=1.0, total_requests=50)))
    assert {record.tpot_ns for record in some.truth.records} == {0}
    assert some.counters.tpot.cumulative()[0] == 50


def test_a_moment_in_the_past_changes_nothing() -> None:
    """Advancing to a time in the past does not change the engine."""
    some = engine(spec(load(8.0)))
    some.advance(10 * SECOND)
    before = everything(some)
    some.advance(9 * SECOND)
    assert everything(some) == before


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: spec(max_num_seqs=0), "at least 1"),
        (lambda: spec(gpus=0), "at least 1"),
        (lambda: spec(load(1.0, prompt=Lengths(1, 0.0, 500_000))), "never fits"),
    ],
)
def test_an_impossible_server_is_refused(make: Callable[[], SimulatedServer], words: str) -> None:
    """A server that could not serve any request raises ValueError with its name."""
    with pytest.raises(ValueError, match=f"server s: .*{words}"):
        make()
