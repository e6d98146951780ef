"""The request stream. Each request is drawn in full on arrival, so the engine cannot influence the random stream."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from goodwatt.demo.server_spec import Lengths, Load

NANOSECONDS = 1_000_000_000
CACHE_BLOCK_TOKENS = 16


class Ending(StrEnum):
    """How a request ends, unless the server restarts first."""

    STOP = "stop"
    LENGTH = "length"
    DISCONNECT = "disconnect"


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `output_tokens` counts the tokens generated until it stops or its client disconnects."""

    number: int
    arrival_ns: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    ending: Ending


def arrivals(load: Load, random: Random) -> Iterator[Request]:
    """Yield requests in order of arrival (a Poisson stream at the peak rate, thinned)."""
    peak = load.requests_per_second * (1 + load.swing_ratio)
    seconds, number = 0.0, 0
    while load.total_requests is None or number < load.total_requests:
        seconds += random.expovariate(peak)
        if random.random() * peak <= arrival_rate(load, seconds):
            yield _request(load, random, number, round(seconds * NANOSECONDS))
            number += 1


def arrival_rate(load: Load, seconds: float) -> float:
    """Return the requests per second at a time; each day starts at the mean rate, rising."""
    return load.requests_per_second * (1 + load.swing_ratio * math.sin(math.tau * seconds / load.day_seconds))


def _request(load: Load, random: Random, number: int, arrival_ns: int) -> Request:
    prompt = _tokens(load.prompt, random)
    cached = _cached(prompt, random) if random.random() < load.cached_share else 0
    output, ending = _output(load, random)
    return Request(number, arrival_ns, prompt, cached, output, ending)


def _output(load: Load, random: Random) -> tuple[int, Ending]:
    wanted = 1 if random.random() < load.one_token_share else _tokens(load.output, random)
    if random.random() < load.disconnect_share and wanted > 1:
        return random.randrange(1, wanted), Ending.DISCONNECT
    return wanted, Ending.LENGTH if wanted == load.output.maximum else Ending.STOP


def _tokens(lengths: Lengths, random: Random) -> int:
    drawn = lengths.median * math.exp(lengths.spread * random.gauss(0.0, 1.0))
    return max(1, min(lengths.maximum, round(drawn)))


def _cached(prompt: int, random: Random) -> int:
    # The last block is always computed: the engine needs its logits.
    blocks = (prompt - 1) // CACHE_BLOCK_TOKENS
    return CACHE_BLOCK_TOKENS * round(blocks * random.uniform(0.5, 1.0))
