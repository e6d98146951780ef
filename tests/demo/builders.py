"""Simulated servers for tests, small enough to run thousands of requests in milliseconds."""

from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.physics import LLAMA_8B_ON_H100, Physics
from goodwatt.demo.server_spec import Lengths, Load, SimulatedServer

SECOND = 1_000_000_000


class HandClock:
    """A clock that only the test advances."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def forward(self, seconds: float) -> None:
        self.seconds += seconds


def load(requests_per_second: float = 5.0, **changes: object) -> Load:
    return Load(requests_per_second=requests_per_second, **changes)  # type: ignore[arg-type]


def spec(load: Load = Load(5.0), physics: Physics = LLAMA_8B_ON_H100, **changes: object) -> SimulatedServer:  # noqa: B008
    return SimulatedServer(**{"name": "s", "model": "m", "physics": physics, "load": load, **changes})  # type: ignore[arg-type]


def engine(server: SimulatedServer, seed: int = 7) -> SimulatedEngine:
    return SimulatedEngine(server, Random(seed))


def live(server: SimulatedServer, clock: HandClock, seed: int = 7, **changes: object) -> ClockedEngine:
    return ClockedEngine(server, Random(seed), clock, **changes)  # type: ignore[arg-type]


def drained(total_requests: int = 400, server: SimulatedServer | None = None) -> SimulatedEngine:
    """Return an engine that has served all of its load."""
    finished = engine(
        server or spec(load(8.0, total_requests=total_requests, disconnect_share=0.1, one_token_share=0.05))
    )
    finished.advance(1000 * SECOND)
    return finished


lengths = st.builds(
    lambda median, spread, above: Lengths(median, spread, median + above),
    st.integers(1, 200),
    st.floats(0.0, 1.2),
    st.integers(0, 400),
)
share = st.floats(0.0, 1.0)
loads = st.builds(
    Load,
    requests_per_second=st.floats(0.2, 60.0),
    prompt=lengths,
    output=lengths,
    swing_ratio=share,
    day_seconds=st.floats(1.0, 100.0),
    cached_share=share,
    one_token_share=share,
    disconnect_share=share,
    total_requests=st.none() | st.integers(0, 200),
)
servers = st.builds(
    lambda load, seats, budget, cache: spec(
        load,
        physics=_with_cache(cache + load.prompt.maximum + load.output.maximum),
        max_num_seqs=seats,
        max_batched_tokens=budget,
    ),
    loads,
    st.integers(1, 40),
    st.integers(1, 4000),
    st.integers(0, 20_000),
)


def _with_cache(tokens: int) -> Physics:
    return replace(LLAMA_8B_ON_H100, kv_cache_tokens=tokens)
