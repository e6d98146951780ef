"""What each load generator calls a good request, as its source defines it: (good, counted) of records.

All of them measure streamed responses, so records here have every latency that they can have.
"""

from collections.abc import Iterable

from goodwatt.model.engine import Outcome, Signal
from goodwatt.model.request import RequestRecord
from goodwatt.model.slo import Slo

Counts = tuple[int, int]


def _slow(slo: Slo, felt: dict[Signal, float]) -> bool:
    return any(felt[limit.signal] > limit.seconds for limit in slo.thresholds)


def vllm_bench(slo: Slo, records: Iterable[RequestRecord]) -> Counts:
    """vLLM 0.32.0, vllm/benchmarks/serve.py, calculate_metrics: its lists contain only successes; with at most one
    output token the time per output token is 0; a limit may be reached."""
    done = [r for r in records if r.outcome is Outcome.SUCCESS]
    good = 0
    for r in done:
        assert r.ttft_seconds is not None and r.generated_tokens is not None
        tpot = (r.e2e_seconds - r.ttft_seconds) / (r.generated_tokens - 1) if r.generated_tokens > 1 else 0.0
        good += not _slow(slo, {Signal.TTFT: r.ttft_seconds, Signal.TPOT: tpot, Signal.E2E: r.e2e_seconds})
    return good, len(done)


def aiperf(slo: Slo, records: Iterable[RequestRecord]) -> Counts:
    """AIPerf 0.8.0, src/aiperf/metrics/types: inter_token_latency_metric.py has no value below two output tokens, and
    good_request_count_metric.py counts a request without a value as not good. good_request_fraction_metric.py
    divides by requests and errors; a cancelled request is an error there (499, tests/integration)."""
    everything = list(records)
    good = 0
    for r in everything:
        if r.outcome is Outcome.SUCCESS:
            values: dict[Signal, float | None] = {Signal.TTFT: r.ttft_seconds, Signal.E2E: r.e2e_seconds}
            values[Signal.TPOT] = r.tpot_seconds if (r.generated_tokens or 0) >= 2 else None
            found = [(values[limit.signal], limit.seconds) for limit in slo.thresholds]
            good += all(value is not None and value <= seconds for value, seconds in found)
    return good, len(everything)


def guidellm(slo: Slo, records: Iterable[RequestRecord]) -> Counts:
    """GuideLLM at 1a145a40, src/guidellm/schemas/benchmark/goodput.py, is_conforming: undetermined as soon as one
    limited latency has no value, regardless of the others; base/request_stats.py has no inter-token latency below
    two output tokens. It judges latencies only, so failed requests are excluded here."""
    verdicts = []
    for r in records:
        values = {Signal.TTFT: r.ttft_seconds, Signal.TPOT: r.tpot_seconds, Signal.E2E: r.e2e_seconds}
        missing = any(values[limit.signal] is None for limit in slo.thresholds)
        if r.outcome is Outcome.SUCCESS and not missing:
            verdicts.append(not _slow(slo, {signal: value or 0.0 for signal, value in values.items()}))
    return sum(verdicts), len(verdicts)


def inference_perf(slo: Slo, records: Iterable[RequestRecord]) -> Counts:
    """inference-perf at 010d12fb, inference_perf/reportgen/base.py: summarize_requests passes only successes to
    calculate_goodput_metrics, where a latency without a value fails its limit; compute_request_latency_metrics has
    neither TTFT nor TPOT for a single-token response."""
    done = [r for r in records if r.outcome is Outcome.SUCCESS]
    good = 0
    for r in done:
        several = (r.generated_tokens or 0) > 1
        ttft, tpot = (r.ttft_seconds, r.tpot_seconds) if several else (None, None)
        values = {Signal.TTFT: ttft, Signal.TPOT: tpot, Signal.E2E: r.e2e_seconds}
        held = [(values[limit.signal], limit.seconds) for limit in slo.thresholds]
        good += all(value is not None and value <= seconds for value, seconds in held)
    return good, len(done)
