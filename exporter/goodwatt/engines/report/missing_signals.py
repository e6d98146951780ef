"""What is lost when an engine's page lacks a signal, and the alternative where there is one."""

from collections.abc import Mapping

from goodwatt.model.engine import Signal

CONSEQUENCES: Mapping[Signal, str] = {
    Signal.PROMPT_TOKENS: "no prompt tokens: figures of kind total and their cost per token are absent",
    Signal.CACHED_PROMPT_TOKENS: "no cached prompt tokens: nearly free cached prompts look like full ones",
    Signal.GENERATED_TOKENS: "no generated tokens: tokens per watt and cost per generated token are absent; energy is "
    "attributed by prompt tokens or running requests",
    Signal.REQUESTS: "no count of finished requests: failures are unknown; goodput takes successes from the e2e "
    "histogram, or is absent without it",
    Signal.ONE_TOKEN_REQUESTS: "no count of one-token outputs: goodput bounds are wider for objectives that fail or "
    "skip them",
    Signal.PREEMPTIONS: "no preemptions: requests in flight are less certain, so goodput bounds are wider",
    Signal.REQUESTS_RUNNING: "no running requests: energy without tokens cannot be attributed by load, and goodput "
    "bounds are wider",
    Signal.REQUESTS_WAITING: "no waiting requests: queue length is unknown",
    Signal.KV_CACHE_USAGE: "no KV cache usage: memory pressure is unknown",
    Signal.TTFT: "no TTFT histogram: goodput needs the proxy or spans",
    Signal.TPOT: "no histogram of TPOT per request: an objective with tpot_seconds needs the proxy or spans",
    Signal.ITL: "no gaps between tokens: inter-token latency is absent; goodput does not need it",
    Signal.E2E: "no request durations: an objective with e2e_seconds cannot be evaluated",
    Signal.QUEUE_TIME: "no queue time: queueing and computing look the same",
    Signal.PREFILL_TIME: "no prefill time: goodput by method tick decides fewer requests as bad",
    Signal.DECODE_TIME: "no decode time: goodput has no method tick",
}


def consequence(signal: Signal) -> str:
    """One line on what is lost without the signal."""
    return CONSEQUENCES.get(signal, f"no {signal}")
