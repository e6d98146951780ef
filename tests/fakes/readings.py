"""Short builders for the readings of GPUs and servers, and a fold to run them through."""

from collections.abc import Mapping, Sequence

from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.engine import EngineReading, EngineTraits, Outcome, SeriesId, Signal
from goodwatt.model.gpu import EnergyCounter, EnergyMethod, EnergyScope, Gpu, GpuReading, GpusReading, GpuState
from goodwatt.model.histogram import Histogram
from goodwatt.model.policy import Policy
from goodwatt.model.request import Dropped, RequestRecord, RequestsReading
from goodwatt.model.snapshot import Snapshot
from goodwatt.model.source import NVML_SOURCE, Reason, SourceId, SourceKind, SourceResult, Unavailable, server_source

MODEL = "llama"


def gpu(
    index: int,
    at: float,
    millijoules: int | None,
    *,
    uuid: str | None = None,
    limit: float | None = None,
    method: EnergyMethod = EnergyMethod.MEASURED,
    scope: EnergyScope = EnergyScope.GPU,
    board: str | None = None,
) -> GpuReading:
    """One GPU with this energy counter; None is a lost GPU."""
    return GpuReading(
        gpu=Gpu(uuid=uuid or f"GPU-{index}", index=index, product="Test GPU", driver="570.0", board=board),
        at_seconds=at,
        state=GpuState.LOST if millijoules is None else GpuState.OK,
        energy=None if millijoules is None else EnergyCounter(millijoules, method, scope),
        quantities={} if limit is None else {"power_limit_watts": limit},
    )


def source_id(label: str) -> SourceId:
    """The source with this `source` label."""
    kind, _, name = label.partition("/")
    return SourceId(SourceKind(kind), name) if kind in set(SourceKind) else SourceId(SourceKind.GPUS, label)


def gpus(*readings: GpuReading) -> SourceResult:
    """A successful result of the GPU source."""
    return SourceResult(NVML_SOURCE, 0.001, GpusReading(readings))


def no_gpus(reason: Reason = Reason.DRIVER_MISSING) -> SourceResult:
    """A failed result of the GPU source."""
    return SourceResult(NVML_SOURCE, 0.001, Unavailable(reason, "driver not loaded"))


def counter(signal: Signal, value: float, model: str = MODEL, series: str = "") -> tuple[SeriesId, float]:
    """One counter line."""
    return SeriesId(signal=signal, model=model, series=series), value


def finished(outcome: Outcome, value: float, model: str = MODEL, series: str = "") -> tuple[SeriesId, float]:
    """One line of finished requests."""
    return SeriesId(signal=Signal.REQUESTS, model=model, series=series, outcome=outcome), value


def histogram(values: Sequence[float], edges: Sequence[float]) -> Histogram:
    """The histogram that an engine keeps of these observations."""
    counts = tuple(float(sum(value <= edge for value in values)) for edge in edges)
    return Histogram(edges=tuple(edges), counts=counts, count=float(len(values)), sum=float(sum(values)))


def page(
    server: str,
    at: float,
    *counters: tuple[SeriesId, float],
    gauges: Mapping[tuple[Signal, str], float] | None = None,
    histograms: Mapping[SeriesId, Histogram] | None = None,
    engine: str = "vllm",
    traits: EngineTraits | None = None,
    dropped_lines: int = 0,
) -> EngineReading:
    """One page of one server."""
    return EngineReading(
        server=server,
        at_seconds=at,
        engine=engine,
        traits=traits or EngineTraits(),
        counters=dict(counters),
        gauges=gauges or {},
        histograms=histograms or {},
        dropped_lines=dropped_lines,
    )


def served(reading: EngineReading) -> SourceResult:
    """A successful result of a server's source."""
    return SourceResult(server_source(reading.server), 0.002, reading)


def silent(server: str, reason: Reason = Reason.UNREACHABLE) -> SourceResult:
    """A failed result of a server's source."""
    return SourceResult(server_source(server), 0.002, Unavailable(reason, "connection refused"))


def record(
    ttft: float | None = 0.1,
    tpot: float | None = 0.01,
    e2e: float = 1.0,
    *,
    tokens: int | None = 10,
    outcome: Outcome = Outcome.SUCCESS,
    server: str = "a",
    model: str = MODEL,
    estimated: bool = False,
) -> RequestRecord:
    """One finished request; by default fast and successful."""
    return RequestRecord(
        server=server,
        model=model,
        arrival_unix_seconds=1.7e9,
        e2e_seconds=e2e,
        outcome=outcome,
        ttft_seconds=ttft,
        tpot_seconds=tpot,
        generated_tokens=tokens,
        tokens_estimated=estimated,
    )


def records_result(
    at: float,
    *records: RequestRecord,
    source: str = "otlp",
    page: EngineReading | None = None,
    dropped: Mapping[Dropped, int] | None = None,
    simulated: bool = False,
) -> SourceResult:
    """The records that a source received since its last read."""
    return SourceResult(
        source_id(source),
        0.001,
        RequestsReading(at_seconds=at, records=records, dropped=dropped or {}, page=page, simulated=simulated),
    )


def tokens_page(server: str, at: float, generated: float, *, model: str = MODEL, running: float = 0.0) -> SourceResult:
    """A page with generated tokens and running requests."""
    return served(
        page(
            server,
            at,
            counter(Signal.GENERATED_TOKENS, generated, model),
            gauges={(Signal.REQUESTS_RUNNING, model): running},
        )
    )


class Fold:
    """A series of ticks that keeps the state and every snapshot."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.state = State()
        self.snapshots: list[Snapshot] = []

    def tick(self, now: float, *results: SourceResult) -> Snapshot:
        """Fold one tick and return its snapshot."""
        self.state, snapshot = step(self.state, results, self.policy, now, unix=1.7e9 + now)
        self.snapshots.append(snapshot)
        return snapshot
