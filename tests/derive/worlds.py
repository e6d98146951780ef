"""Arbitrary machines for the laws of the ledger: GPUs and servers that come, go, restart, fail and lie."""

from dataclasses import dataclass

from hypothesis import strategies as st

from exporter.model.engine import Outcome, SeriesId, Signal
from exporter.model.gpu import EnergyMethod, EnergyScope
from exporter.model.histogram import Histogram
from exporter.model.rules import Rules
from exporter.model.slo import Slo, Threshold
from exporter.model.source import SourceResult
from exporter.model.tariff import Carbon, Facility, Tariff
from tests.fakes.readings import Fold, gpu, gpus, no_gpus, page, served, silent

SERVERS = ("a", "b", "c")
MODELS = ("llama", "qwen")
SLO = Slo("slo", (Threshold(Signal.TTFT, 0.5), Threshold(Signal.E2E, 2.0)), 0.9)
COUNTED = (Signal.GENERATED_TOKENS, Signal.PROMPT_TOKENS, Signal.PREEMPTIONS)
MILLIJOULES = st.one_of(st.integers(0, 3_000_000), st.integers(0, 10**12))


@dataclass(frozen=True)
class Tick:
    """One tick of a world."""

    now: float
    results: tuple[SourceResult, ...]


def readings(now):
    """One GPU as a driver may show it."""
    return st.builds(
        gpu,
        st.integers(0, 3),
        st.just(now),
        st.one_of(st.none(), MILLIJOULES, MILLIJOULES),
        limit=st.sampled_from([None, 0.0, 300.0, 700.0]),
        method=st.sampled_from([EnergyMethod.MEASURED, EnergyMethod.MEASURED, EnergyMethod.INTEGRATED]),
        scope=st.sampled_from([EnergyScope.GPU, EnergyScope.GPU, EnergyScope.MODULE]),
        board=st.sampled_from([None, "board-0", "board-1"]),
    )


def gpu_results(now):
    """The GPU source at a tick."""
    some = st.lists(readings(now), max_size=4, unique_by=lambda r: r.gpu.uuid).map(lambda rs: gpus(*rs))
    return st.one_of(some, some, some, st.just(no_gpus()))


@st.composite
def histograms(draw):
    """Any cumulative histogram."""
    edges = draw(st.sampled_from([(0.5, 1.0), (0.5, 1.0, 2.0), (1.0, 4.0), ()]))
    steps = draw(st.lists(st.integers(0, 20), min_size=len(edges) + 1, max_size=len(edges) + 1))
    totals = [float(sum(steps[: i + 1])) for i in range(len(steps))]
    return Histogram(edges, tuple(totals[:-1]), totals[-1], draw(st.one_of(st.none(), st.floats(0, 1e6))))


def server_results(server, now):
    """One server at a tick: any page at all, or none."""
    counts = st.integers(0, 5000).map(float)
    split = st.sampled_from(["", "rank=1"])
    counters = st.dictionaries(st.builds(SeriesId, st.sampled_from(COUNTED), st.sampled_from(MODELS), split), counts)
    ended = st.dictionaries(
        st.builds(SeriesId, st.just(Signal.REQUESTS), st.sampled_from(MODELS), split, st.sampled_from(Outcome)), counts
    )
    timed = st.sampled_from([Signal.TTFT, Signal.E2E, Signal.ITL])
    pages = st.builds(
        lambda c, r, h, g, engine, dropped: served(
            page(server, now, *c.items(), *r.items(), histograms=h, gauges=g, engine=engine, dropped_lines=dropped)
        ),
        counters,
        ended,
        st.dictionaries(st.builds(SeriesId, timed, st.sampled_from(MODELS), split), histograms(), max_size=4),
        st.dictionaries(
            st.tuples(st.sampled_from([Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING]), st.sampled_from(MODELS)),
            st.integers(0, 9).map(float),
        ),
        st.sampled_from(["vllm", "vllm", "vllm", "sglang"]),
        st.integers(0, 2),
    )
    return st.one_of(pages, pages, pages, st.just(silent(server)))


rules = st.builds(
    Rules,
    window_seconds=st.sampled_from([1.0, 12.0]),
    server_gpus=st.dictionaries(
        st.sampled_from(SERVERS),
        st.lists(st.sampled_from([0, 1, 2, 3, "GPU-0", "GPU-2", "GPU-9"]), max_size=3, unique=True).map(tuple),
    ),
    slos=st.sampled_from([(), (SLO,)]),
    tariff=st.sampled_from([None, Tariff("USD", price_per_gpu_hour=1.69), Tariff("USD", price_per_kwh=0.1)]),
    facility=st.sampled_from([Facility(), Facility(1.4, 1.58)]),
    carbon=st.sampled_from([None, Carbon(400.0)]),
)


@st.composite
def worlds(draw, ticks=6):
    """Rules, and the results of some ticks in a row."""
    now, story = 100.0, []
    for _ in range(draw(st.integers(1, ticks))):
        results = []
        if draw(st.integers(0, 5)):
            results.append(draw(gpu_results(now)))
        results += [draw(server_results(name, now)) for name in draw(st.sampled_from([(), ("a",), ("a", "b"), SERVERS]))]
        story.append(Tick(now, tuple(results)))
        now += draw(st.sampled_from([0.0, 0.1, 5.0, 5.0, 5.25, 20.0]))
    return draw(rules), tuple(story)


def lived(world):
    """The fold after each tick of a world, with the tick."""
    rules_, story = world
    fold = Fold(rules_)
    for tick in story:
        before = fold.state
        yield before, tick, fold.tick(tick.now, *tick.results), fold.state
