"""What an operator loses where an engine's page lacks a signal, and what to do about it."""

from collections.abc import Mapping

from goodwatt.model.engine import Signal

CONSEQUENCES: Mapping[Signal, str] = {
    Signal.PROMPT_TOKENS: "no prompt tokens: figures of kind total and their cost per token are absent",
    Signal.CACHED_PROMPT_TOKENS: "no cached prompt tokens: prompts that cost nearly nothing cannot be told from others",
    Signal.GENERATED_TOKENS: "no generated tokens: tokens per watt and cost per generated token are absent; joules go "
    "by prompt tokens or running requests",
    Signal.REQUESTS: "no count of finished requests: failures are unknown; goodput takes successes from the e2e "
    "histogram, or is absent without it",
    Signal.ONE_TOKEN_REQUESTS: "no count of one-token outputs: the bounds of an objective that lets them fail or "
    "leaves them out are wider",
    Signal.PREEMPTIONS: "no preemptions: requests in flight are known less well, which widens the bounds of goodput",
    Signal.REQUESTS_RUNNING: "no running requests: joules without tokens cannot be attributed by load, and bounds of "
    "goodput are wider",
    Signal.REQUESTS_WAITING: "no waiting requests: the queue cannot be seen",
    Signal.KV_CACHE_USAGE: "no KV cache usage: how full the server is cannot be seen",
    Signal.TTFT: "no TTFT histogram: goodput needs the proxy or spans",
    Signal.TPOT: "no histogram of TPOT per request: an objective with tpot_seconds needs the proxy or spans",
    Signal.ITL: "no gaps between tokens: inter-token latency is absent; goodput does not need it",
    Signal.E2E: "no duration of requests: an objective with e2e_seconds cannot be judged",
    Signal.QUEUE_TIME: "no queue time: waiting cannot be told from computing",
}


def consequence(signal: Signal) -> str:
    """One line for people."""
    return CONSEQUENCES.get(signal, f"no {signal}")
