"""Bounds against the truth on a simulated vLLM: queues, batches and real bucket edges, with other loads per seed.

The suite runs 200 seeds of the histograms' bounds and a fifth as many of method "tick", which needs more pages.
`GOODPUT_SEEDS=1000 python -m pytest tests/derive/slo/test_bounds_simulated.py` runs 1000 of each.
"""

import os
import random
from dataclasses import replace
from itertools import combinations

import pytest

from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold
from tests.bench.bench_goodput import compare, compare_tick, moments
from tests.fakes.simulated_vllm import EDGES, LATENCIES, Load, simulate

SEEDS = int(os.environ.get("GOODPUT_SEEDS", "200"))
TICK_SEEDS = int(os.environ.get("GOODPUT_SEEDS", "40"))
GROUPS = 10
SECONDS = 30.0


def any_load(chance: random.Random) -> Load:
    """Draw a load between idle and overloaded, with hang-ups and errors in every other one."""
    return Load(
        requests_per_second=chance.uniform(0.3, 6.0),
        prompt_tokens=chance.uniform(20, 1500),
        output_tokens=chance.choice([1, 5, 50, 200]),
        step=chance.uniform(0.01, 0.06),
        per_sequence=chance.uniform(0.0, 0.001),
        per_prompt_token=chance.uniform(0.0, 0.0003),
        hang_ups=chance.choice([0.0, 0.2]),
        errors=chance.choice([0.0, 0.1]),
    )


def any_slo(chance: random.Random) -> Slo:
    """Draw one to three thresholds, on a bucket edge or inside a bucket."""
    limits = {Signal.TTFT: (0.05, 2.5), Signal.TPOT: (0.01, 0.1), Signal.E2E: (0.3, 20.0)}
    signals = chance.sample(LATENCIES, chance.randint(1, 3))
    thresholds = []
    for signal in signals:
        low, high = limits[signal]
        edges = [edge for edge in EDGES[signal] if low <= edge <= high]
        thresholds.append(Threshold(signal, chance.choice([chance.choice(edges), chance.uniform(low, high)])))
    return Slo(name="slo", thresholds=tuple(thresholds), objective=0.9)


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_truth_is_never_outside_the_bounds(group):
    """Over every range of ticks, the good requests that ended are within the bounds and the eligible ones are exact."""
    for seed in range(group, SEEDS, GROUPS):
        chance = random.Random(seed)
        load, slo, tick = any_load(chance), any_slo(chance), chance.choice([1.0, 2.0, 5.0])
        seen = list(moments(simulate(load, SECONDS, seed), slo, tick, SECONDS))
        assert seen[-1].eligible or load.requests_per_second < 1.0 or load.hang_ups
        for start, end in combinations(seen, 2):
            figures = compare(start, end)
            assert figures is None or not figures.missed, f"seed {seed}: {figures} for {slo} under {load}"


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_truth_is_never_outside_the_bounds_of_method_tick(group):
    """With several reads a tick, over every range of ticks, and nothing charged for requests in flight."""
    for seed in range(group, TICK_SEEDS, GROUPS):
        chance = random.Random(seed)
        load, slo, reads = any_load(chance), any_slo(chance), chance.choice([1, 2, 5, 10])
        ttft = Threshold(Signal.TTFT, chance.uniform(0.05, 2.5))
        others = tuple(threshold for threshold in slo.thresholds if threshold.signal is not Signal.TTFT)
        slo = replace(slo, thresholds=(ttft, *others))
        seen = list(moments(simulate(load, SECONDS, seed), slo, 2.0, SECONDS, reads))
        for start, end in combinations(seen, 2):
            figures = compare_tick(start, end)
            assert figures is None or not figures.missed, f"seed {seed}: {figures} for {slo} under {load}"
