"""Snapshots from the real fold over invented but plausible readings: eight H100s under one vLLM server."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.engine import EngineReading, EngineTraits, Outcome, SeriesId, Signal
from goodwatt.model.gpu import EnergyCounter, EnergyMethod, Gpu, GpuReading, GpusReading
from goodwatt.model.histogram import Histogram
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import Reading, SourceResult, Unavailable
from goodwatt.model.tariff import Carbon, PriceList, Tariff, TokenPrices
from tests.fakes.readings import source_id

INTERVAL = 5.0
START = 1000.0
UNIX = 1_750_000_000.0
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
REASONS = ("sw_power_cap", "hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake", "sync_boost", "idle")

EDGES: Mapping[Signal, tuple[float, ...]] = {
    Signal.TTFT: (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75),
        *(1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
    ),
    Signal.TPOT: (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    ),
    Signal.ITL: (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    ),
    Signal.E2E: (
        *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0),
        *(960.0, 1920.0, 7680.0),
    ),
    Signal.QUEUE_TIME: (
        *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0),
        *(960.0, 1920.0, 7680.0),
    ),
}
POLICY = Policy(
    interval_seconds=INTERVAL,
    slos=(Slo(name="default", thresholds=(Threshold(Signal.TTFT, 1.0), Threshold(Signal.TPOT, 0.1)), objective=0.95),),
    tariff=Tariff("USD", price_per_gpu_hour=1.69),
    carbon=Carbon(400.0),
    price_list=PriceList("USD", (TokenPrices(prompt_per_million_tokens=0.1, generated_per_million_tokens=0.4),)),
)


MEANS = {Signal.TTFT: 0.6, Signal.TPOT: 0.06, Signal.ITL: 0.02, Signal.E2E: 4.0, Signal.QUEUE_TIME: 0.4}


def uuid(index: int) -> str:
    """The UUID of a made-up GPU."""
    return f"GPU-5ad7a0d4-0000-4000-8000-{index:012d}"


def gpu(index: int, tick: int, watts: int = 614) -> GpuReading:
    """One GPU at one tick, with steady power."""
    return GpuReading(
        gpu=Gpu(uuid=uuid(index), index=index, product="NVIDIA H100 80GB HBM3", driver="570.86.15"),
        at_seconds=START + tick * INTERVAL,
        energy=EnergyCounter(9_000_000 + tick * int(watts * INTERVAL * 1000), EnergyMethod.MEASURED),
        quantities={
            "power_watts": float(watts),
            "power_limit_watts": 700.0,
            "utilization_ratio": 0.97,
            "memory_used_bytes": 74 * 2**30,
            "memory_total_bytes": 80 * 2**30,
            "temperature_celsius": 64.0,
            "sm_clock_hertz": 1.755e9,
        },
        throttled={reason: reason == "sw_power_cap" for reason in REASONS},
        xid_errors=1,
        last_xid=31,
    )


def without_quantity(reading: GpuReading, name: str) -> GpuReading:
    """The same reading of a GPU that does not report this quantity."""
    return replace(reading, quantities={key: value for key, value in reading.quantities.items() if key != name})


def gpus(count: int, tick: int) -> GpusReading:
    """All GPUs of the machine at one tick."""
    return GpusReading(tuple(gpu(index, tick) for index in range(count)))


def histogram(edges: Sequence[float], observations: int, mean: float) -> Histogram:
    """Most observations in the bucket of the mean, some in its neighbours."""
    at = bisect_left(edges, mean)
    shares = {at - 1: observations // 5, at: observations * 3 // 5, at + 1: observations - observations // 5 * 4}
    counts = accumulate(float(shares.get(bucket, 0)) for bucket in range(len(edges)))
    return Histogram(edges=tuple(edges), counts=tuple(counts), count=float(observations), sum=observations * mean)


def page(server: str, tick: int, model: str = MODEL, *, tokens_per_tick: int = 25_795) -> EngineReading:
    """One page of a vLLM-like server that finishes 100 requests a tick."""
    finished = 100 * tick
    counts: dict[tuple[Signal, Outcome | None], float] = {
        (Signal.PROMPT_TOKENS, None): 51_200.0 * tick,
        (Signal.CACHED_PROMPT_TOKENS, None): 10_240.0 * tick,
        (Signal.GENERATED_TOKENS, None): float(tokens_per_tick * tick),
        (Signal.PREEMPTIONS, None): 0.0,
        (Signal.REQUESTS, Outcome.SUCCESS): 99.0 * tick,
        (Signal.REQUESTS, Outcome.ERROR): 1.0 * tick,
        (Signal.REQUESTS, Outcome.CANCELLED): 0.0,
    }
    return EngineReading(
        server=server,
        at_seconds=START + tick * INTERVAL,
        engine="vllm",
        traits=EngineTraits(),
        counters={
            SeriesId(signal=signal, model=model, series="0", outcome=outcome): value
            for (signal, outcome), value in counts.items()
        },
        gauges={
            (Signal.REQUESTS_RUNNING, model): 12.0,
            (Signal.REQUESTS_WAITING, model): 2.0,
            (Signal.KV_CACHE_USAGE, model): 0.61,
        },
        histograms={
            SeriesId(signal=signal, model=model, series="0"): histogram(
                edges, finished * (257 if signal is Signal.ITL else 1), MEANS[signal]
            )
            for signal, edges in EDGES.items()
        },
        engine_version="0.11.0",
        gpu_joules={"GPU-9": 0.5 * tick},
    )


def results(readings: Mapping[str, Reading | Unavailable]) -> list[SourceResult]:
    """Return the results of one tick, from readings by source."""
    return [SourceResult(source_id(source), 0.004, outcome) for source, outcome in readings.items()]


def snapshot(
    gpu_count: int = 8,
    servers: Sequence[str] = ("vllm-0",),
    *,
    ticks: int = 14,
    policy: Policy = POLICY,
    model: str = MODEL,
) -> Snapshot:
    """The snapshot after `ticks` ticks without failures."""
    return after(
        [
            {
                **({"nvml": gpus(gpu_count, tick)} if gpu_count else {}),
                **{f"server/{server}": page(server, tick, model) for server in servers},
            }
            for tick in range(ticks)
        ],
        policy,
    )


def after(ticks: Sequence[Mapping[str, Reading | Unavailable]], policy: Policy = POLICY) -> Snapshot:
    """The snapshot after these ticks, each a mapping from source to outcome."""
    state, picture = State(), None
    for tick, readings in enumerate(ticks):
        now = START + tick * INTERVAL
        state, picture = step(
            state, results(readings), policy, now, unix=UNIX + tick * INTERVAL, tick_seconds=0.006 if tick else None
        )
    assert picture is not None, "a picture needs at least one tick"
    return picture
