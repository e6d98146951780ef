"""`vllm bench serve --goodput`: the client-side measure of goodput, with the latencies of every request."""

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.real.engines import POLITE, VLLM, VLLM_ENVIRONMENT, Child, installed, number_format, vllm_model

OUTPUT_TOKENS = 32
SPEED = {"bfloat16": 1.0, "float32": 0.25}  # what a machine of two cores serves, by the numbers it computes with


@dataclass(frozen=True)
class Latencies:
    """Three latencies of one request, or three thresholds for them, in seconds."""

    ttft: float
    tpot: float
    e2e: float

    def within(self, limit: "Latencies") -> bool:
        return self.ttft <= limit.ttft and self.tpot <= limit.tpot and self.e2e <= limit.e2e

    def plus(self, other: "Latencies") -> "Latencies":
        return Latencies(self.ttft + other.ttft, self.tpot + other.tpot, self.e2e + other.e2e)

    def minus(self, other: "Latencies") -> "Latencies":
        return Latencies(self.ttft - other.ttft, self.tpot - other.tpot, self.e2e - other.e2e)

    def __str__(self) -> str:
        return f"ttft {self.ttft * 1e3:.1f} ms, tpot {self.tpot * 1e3:.2f} ms, e2e {self.e2e * 1e3:.1f} ms"


@dataclass(frozen=True)
class Judged:
    """One run. `good` is the bench's own figure for the given thresholds."""

    good: int
    requests: tuple[Latencies, ...]
    seconds: float  # of the whole process

    def good_within(self, limit: Latencies) -> int:
        """How many requests met all three thresholds."""
        return sum(request.within(limit) for request in self.requests)


EACH: Sequence[Callable[[Latencies], float]] = (lambda r: r.ttft, lambda r: r.tpot, lambda r: r.e2e)


def quantile(requests: Sequence[Latencies], share: float) -> Latencies:
    """Each latency's quantile over the requests, rounded to the microsecond that `judge` can pass to the bench."""
    rank = round(share * (len(requests) - 1))
    return Latencies(*(round(sorted(of(r) for r in requests)[rank], 6) for of in EACH))


async def judge(
    engine: Child, model: str, folder: Path, *, prompts: int, per_second: float, slo: Latencies, seed: int
) -> Judged:
    """Send random prompts with Poisson arrivals; the bench counts requests within the SLO, as `good_within` does.

    `per_second` is for a machine that computes in bfloat16; others are sent fewer.
    """
    clock = asyncio.get_running_loop().time
    per_second *= SPEED[number_format()]
    result, begun = folder / f"bench-{seed}.json", clock()
    goodput = [f"ttft:{slo.ttft * 1e3:.3f}", f"tpot:{slo.tpot * 1e3:.3f}", f"e2el:{slo.e2e * 1e3:.3f}"]
    process = await asyncio.create_subprocess_exec(
        *POLITE,
        *[installed(VLLM), "bench", "serve", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"],
        *["--base-url", engine.url, "--model", model, "--tokenizer", vllm_model(model)],
        *["--dataset-name", "random", "--random-input-len", "64", "--random-output-len", str(OUTPUT_TOKENS)],
        *["--num-prompts", str(prompts), "--request-rate", str(per_second), "--seed", str(seed), "--ignore-eos"],
        *["--num-warmups", "0", "--ready-check-timeout-sec", "0", "--goodput", *goodput],
        *["--save-result", "--save-detailed", "--result-dir", result.parent, "--result-filename", result.name],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **VLLM_ENVIRONMENT},
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, f"vllm bench serve failed:\n{output.decode(errors='replace')[-3000:]}"
    judged = _read(result, clock() - begun)
    assert judged.good == judged.good_within(slo), "the bench counts as these tests do"
    return judged


def _read(result: Path, seconds: float) -> Judged:
    found = json.loads(result.read_text())
    assert found["failed"] == 0, found["errors"]
    columns = zip(found["ttfts"], found["latencies"], found["output_lens"], strict=True)
    requests = tuple(Latencies(ttft, (e2e - ttft) / (n - 1), e2e) for ttft, e2e, n in columns)
    return Judged(round(found["request_goodput"] * found["duration"]), requests, seconds)
