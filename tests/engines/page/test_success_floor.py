"""Successes that SGLang with several tokenizer workers counts as aborted, too (its issue 28868)."""

from goodwatt.engines.page.success_floor import miscounted_successes, recount
from goodwatt.model.engine import EngineReading, Outcome, SeriesId, Signal
from goodwatt.model.ledger import Account, CountKey, SloKey
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from tests.engines.golden import reading_of
from tests.fakes.readings import Fold, histogram, served

SUCCESS = SeriesId(Signal.REQUESTS, "m", "requests", Outcome.SUCCESS)
CANCELLED = SeriesId(Signal.REQUESTS, "m", "aborted", Outcome.CANCELLED)
TPOT = SeriesId(Signal.TPOT, "m")


def page(finished: int, aborted: int, successes: int, previous: EngineReading | None = None) -> EngineReading:
    """Return a page on which every success took 0.3 s to its first token, 0.02 s per token and 1.5 s in total."""
    text = f'sglang:num_requests_total{{model_name="m"}} {finished}\n'
    text += f'sglang:num_aborted_requests_total{{model_name="m"}} {aborted}\n'
    text += f'sglang:generation_tokens_total{{model_name="m"}} {100 * finished}\n'
    for name, seconds, edges, count in (
        ("time_to_first_token_seconds", 0.3, (0.1, 0.4, 1.0), successes),
        ("request_time_per_output_token_seconds", 0.02, (0.02, 0.1), successes),
        ("e2e_request_latency_seconds", 1.5, (1.0, 2.0), finished),
    ):
        for edge in (*edges, "+Inf"):
            within = count if seconds <= float(edge) else 0
            text += f'sglang:{name}_bucket{{model_name="m",le="{edge}"}} {within}\n'
        text += (
            f'sglang:{name}_count{{model_name="m"}} {count}\nsglang:{name}_sum{{model_name="m"}} {seconds * count}\n'
        )
    return reading_of("sglang", text, previous=previous)


def outcomes(reading: EngineReading) -> dict[Outcome | None, float]:
    return {key.outcome: value for key, value in reading.counters.items() if key.signal is Signal.REQUESTS}


def test_successes_counted_as_aborted_are_successes() -> None:
    """All ten requests between two pages succeeded and were good, although the page calls every one of them aborted."""
    thresholds = (Threshold(Signal.TTFT, 0.4), Threshold(Signal.TPOT, 0.02), Threshold(Signal.E2E, 2.0))
    fold = Fold(Policy(slos=(Slo(name="slo", thresholds=thresholds, objective=0.9),)))
    first = page(1000, 999, 1000)
    second = page(1010, 1009, 1010, first)
    assert (first.miscounted_successes, second.miscounted_successes) == (999, 1009)
    fold.tick(0.0, served(first))
    ledger = fold.tick(1.0, served(second)).ledger
    account = Account(second.server, "m")
    counted = {o: ledger.counts.get(CountKey(account, Signal.REQUESTS, o), 0.0) for o in Outcome}
    assert counted == {Outcome.SUCCESS: 10, Outcome.CANCELLED: 0, Outcome.ERROR: 0, Outcome.REJECTED: 0}
    totals = ledger.slos[SloKey(account, "slo")]
    assert (totals.eligible, totals.good_lower, totals.good_upper) == (10, 10, 10)


def test_a_page_without_the_contradiction_keeps_its_counters() -> None:
    """Where the histogram observed no more than the successes, nothing changes: one-token outputs are not in it."""
    reading = page(10, 3, 5)
    assert outcomes(reading) == {Outcome.SUCCESS: 7, Outcome.CANCELLED: 3}
    assert reading.miscounted_successes == 0


def test_true_aborts_stay_cancelled() -> None:
    """Only as many cancelled requests become successes as the histogram proves, and the sum stays the same."""
    reading = page(100, 95, 90)
    assert outcomes(reading) == {Outcome.SUCCESS: 90, Outcome.CANCELLED: 10}
    assert reading.miscounted_successes == 85


def test_no_corrected_counter_falls() -> None:
    """The histogram may be ahead of the counters for a page: what it proved stays counted, and is counted once."""
    first = page(10, 2, 8)
    ahead = page(10, 2, 9, first)
    level = page(11, 2, 9, ahead)
    assert [outcomes(one)[Outcome.SUCCESS] for one in (first, ahead, level)] == [8, 9, 9]
    assert [outcomes(one)[Outcome.CANCELLED] for one in (first, ahead, level)] == [2, 2, 2]


def test_models_without_a_counter_of_successes_are_left_alone() -> None:
    """An engine that counts no requests, or another model's histogram, corrects nothing."""
    timed = histogram([0.1] * 4, [0.1, 1.0])
    assert miscounted_successes({}, {TPOT: timed}, Signal.TPOT) == {}
    other = SeriesId(Signal.TPOT, "other")
    assert miscounted_successes({SUCCESS: 0.0}, {other: timed}, Signal.TPOT) == {}
    assert miscounted_successes({SUCCESS: 1.0}, {TPOT: timed}, Signal.E2E) == {}


def test_cancelled_requests_never_become_negative() -> None:
    """Where the page counts fewer cancelled requests than are missing, all of them become successes."""
    corrected = recount({SUCCESS: 1.0, CANCELLED: 2.0}, {"m": 3.0}, lambda _: 0.0)
    assert corrected == {SUCCESS: 4.0, CANCELLED: 0.0}
