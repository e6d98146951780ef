"""Arbitrary machines for the laws of the ledger: GPUs and servers that appear, vanish, restart, fail and report
garbage."""

from dataclasses import dataclass

from hypothesis import strategies as st

from goodwatt.model.engine import Outcome, SeriesId, Signal
from goodwatt.model.gpu import EnergyMethod, EnergyScope
from goodwatt.model.histogram import Histogram
from goodwatt.model.policy import Policy
from goodwatt.model.slo import Slo, Threshold
from goodwatt.model.source import SourceResult
from goodwatt.model.tariff import Carbon, Facility, Tariff
from tests.fakes.readings import Fold, gpu, gpus, no_gpus, page, record, records_result, served, silent

SERVERS = ("a", "b", "c")
MODELS = ("llama", "qwen")
SLO = Slo(name="slo", thresholds=(Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 2.0)), objective=0.9)
COUNTED = (Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS, Signal.PREEMPTIONS)
MILLIJOULES = st.one_of(st.integers(0, 3_000_000), st.integers(0, 10**12))


@dataclass(frozen=True)
class Tick:
    """One tick of a world."""

    now: float
    results: tuple[SourceResult, ...]


def later(make, *args, **kwargs):
    """Draw everything but the time: return a strategy for functions from the time to what `make` builds."""
    return st.builds(lambda *a, **k: lambda now: make(now, *a, **k), *args, **kwargs)


def reading(now, index, millijoules, how):
    return gpu(index, now, millijoules, **how)


gpu_readings = later(
    reading,
    st.integers(0, 3),
    st.one_of(st.none(), MILLIJOULES, MILLIJOULES),
    st.fixed_dictionaries(
        {
            "limit": st.sampled_from([None, 0.0, 300.0, 700.0]),
            "method": st.sampled_from([EnergyMethod.MEASURED, EnergyMethod.MEASURED, EnergyMethod.INTEGRATED]),
            "scope": st.sampled_from([EnergyScope.GPU, EnergyScope.GPU, EnergyScope.MODULE]),
            "board": st.sampled_from([None, "board-0", "board-1"]),
        }
    ),
)
some_gpus = later(
    lambda now, drawn: gpus(*{r.gpu.uuid: r for r in (make(now) for make in drawn)}.values()),
    st.lists(gpu_readings, max_size=4),
)
gpu_results = st.one_of(some_gpus, some_gpus, some_gpus, st.just(lambda now: no_gpus()), st.none())


def cumulative(edges, steps, total):
    """Return any cumulative histogram."""
    counts = [float(sum(steps[: i + 1])) for i in range(len(edges) + 1)]
    return Histogram(edges=edges, counts=tuple(counts[:-1]), count=counts[-1], sum=total)


histograms = st.builds(
    cumulative,
    st.sampled_from([(0.5, 1.0), (0.5, 1.0), (0.5, 1.0, 2.0), (1.0, 4.0), ()]),
    st.lists(st.integers(0, 20), min_size=4, max_size=4),
    st.one_of(st.none(), st.floats(0, 1e6)),
)
counts = st.integers(0, 5000).map(float)
models, splits = st.sampled_from(MODELS), st.sampled_from(["", "rank=1"])
any_page = later(
    lambda at, counters, ended, timed, gauges, engine, dropped: served(
        page(
            at[0],
            at[1],
            *counters.items(),
            *ended.items(),
            gauges=gauges,
            histograms=timed,
            engine=engine,
            dropped_lines=dropped,
        )
    ),
    st.dictionaries(st.builds(SeriesId, st.sampled_from(COUNTED), models, splits), counts, max_size=5),
    st.dictionaries(
        st.builds(SeriesId, st.just(Signal.REQUESTS), models, splits, st.sampled_from(Outcome)), counts, max_size=3
    ),
    st.dictionaries(
        st.builds(SeriesId, st.sampled_from([Signal.TTFT, Signal.E2E, Signal.ITL]), models, splits),
        histograms,
        max_size=4,
    ),
    st.dictionaries(
        st.tuples(st.sampled_from([Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING]), models),
        st.integers(0, 9).map(float),
    ),
    st.sampled_from(["vllm", "vllm", "vllm", "sglang"]),
    st.integers(0, 2),
)


policies = st.builds(
    Policy,
    window_seconds=st.sampled_from([1.0, 12.0]),
    server_gpus=st.dictionaries(
        st.sampled_from(SERVERS),
        st.lists(st.sampled_from([0, 1, 2, 3, "GPU-0", "GPU-2", "GPU-9"]), max_size=3, unique=True).map(tuple),
    ),
    slos=st.sampled_from([(), (SLO,)]),
    tariff=st.sampled_from([None, Tariff("USD", price_per_gpu_hour=1.69), Tariff("USD", price_per_kwh=0.1)]),
    facility=st.sampled_from([Facility(), Facility(host_factor=1.4, pue=1.58)]),
    carbon=st.sampled_from([None, Carbon(400.0)]),
)


records = st.lists(
    st.builds(
        record,
        st.sampled_from([None, 0.25, 1.0]),
        st.sampled_from([None, 0.1]),
        st.sampled_from([0.5, 4.0]),
        tokens=st.sampled_from([None, 1, 100]),
        outcome=st.sampled_from(Outcome),
        server=st.sampled_from([*SERVERS, "unknown"]),
        model=st.sampled_from([*MODELS, "", "else"]),
    ),
    max_size=3,
)
record_results = st.one_of(
    st.none(),
    later(
        lambda now, drawn, source: records_result(now, *drawn, source=source),
        records,
        st.sampled_from(["otlp", "otlp", "proxy/a", "proxy/b"]),
    ),
)
server_results = st.one_of(any_page, any_page, any_page, st.just(None))
rows = st.tuples(
    st.sampled_from([0.0, 0.1, 5.0, 5.0, 5.25, 20.0]),
    gpu_results,
    st.lists(server_results, max_size=3),
    record_results,
)


def ticks_of(policy, drawn):
    now, story = 100.0, []
    for seconds, machine, servers, requests in drawn:
        results = [] if machine is None else [machine(now)]
        for name, make in zip(SERVERS, servers, strict=False):
            results.append(silent(name) if make is None else make((name, now)))
        if requests is not None:
            results.append(requests(now))
        story.append(Tick(now, tuple(results)))
        now += seconds
    return policy, tuple(story)


def worlds(ticks=6):
    """Return a strategy for policies with the results of some ticks in a row."""
    return st.builds(ticks_of, policies, st.lists(rows, min_size=1, max_size=ticks))


def lived(world):
    """Yield each tick of a world, with the state before, the snapshot and the state after it."""
    policy, story = world
    fold = Fold(policy)
    for tick in story:
        before = fold.state
        yield before, tick, fold.tick(tick.now, *tick.results), fold.state
