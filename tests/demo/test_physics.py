from dataclasses import replace

import pytest

from goodwatt.demo.physics import GPT_OSS_20B_ON_H100, LLAMA_8B_ON_H100, Physics
from tests.demo.builders import SECOND, engine, load, spec

# Joules per output token on one H100, prefill included, as measured by ML.ENERGY (v3).
MEASURED = [
    (LLAMA_8B_ON_H100, 8, 0.455),
    (LLAMA_8B_ON_H100, 64, 0.119),
    (LLAMA_8B_ON_H100, 256, 0.077),
    (GPT_OSS_20B_ON_H100, 8, 0.357),
    (GPT_OSS_20B_ON_H100, 64, 0.102),
    (GPT_OSS_20B_ON_H100, 256, 0.059),
]


@pytest.mark.parametrize(("physics", "batch", "joules"), MEASURED)
def test_a_fixed_batch_costs_the_joules_per_token_that_were_measured_on_an_h100(
    physics: Physics, batch: int, joules: float
) -> None:
    """At batches of 8, 64 and 256 the simulated joules per output token are within 10 % of the measured ones."""
    busy = engine(spec(load(100.0, cached_share=0.0), physics, max_num_seqs=batch))
    busy.advance(60 * SECOND)
    picojoules, tokens = busy.power.picojoules, busy.truth.generated_tokens
    busy.advance(180 * SECOND)
    assert busy.running == batch
    per_token = (busy.power.picojoules - picojoules) / 1e12 / (busy.truth.generated_tokens - tokens)
    assert per_token == pytest.approx(joules, rel=0.10)


def test_rent_per_million_tokens_follows_from_the_simulated_throughput() -> None:
    """At 1.69 USD per GPU-hour, 8 / 64 / 256 sequences of the 8B cost about 0.44 / 0.091 / 0.052 USD per million."""
    for batch, dollars in ((8, 0.44), (64, 0.091), (256, 0.052)):
        busy = engine(spec(load(100.0, cached_share=0.0), max_num_seqs=batch))
        busy.advance(120 * SECOND)
        assert 1.69 / 3600 * 120 / busy.truth.generated_tokens * 1e6 == pytest.approx(dollars, rel=0.10)


def test_a_fuller_step_lasts_longer_and_draws_more() -> None:
    """Step time and decode power grow with the batch, and stay below the ceiling."""
    costs = [LLAMA_8B_ON_H100.step(batch, 0) for batch in (1, 8, 64, 256)]
    durations = [cost.duration_ns for cost in costs]
    draws = [cost.decode_milliwatts for cost in costs]
    assert durations == sorted(set(durations))
    assert draws == sorted(set(draws))
    assert draws[-1] <= LLAMA_8B_ON_H100.decode_ceiling_milliwatts


def test_a_slow_step_is_longer_by_its_factor_and_draws_the_same() -> None:
    """A slowdown of 3 triples both parts of a step and does not change power."""
    healthy, slow = LLAMA_8B_ON_H100.step(10, 500), LLAMA_8B_ON_H100.step(10, 500, 3.0)
    assert slow == replace(healthy, prefill_ns=3 * healthy.prefill_ns, decode_ns=3 * healthy.decode_ns)
