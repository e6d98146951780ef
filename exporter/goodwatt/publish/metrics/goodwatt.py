"""Metrics of goodwatt itself: its build, its configuration, the factors and prices in force, and its sources."""

from collections.abc import Callable, Iterator

from goodwatt.model.snapshot import Snapshot, SourceState
from goodwatt.model.source import SourceId, server_source
from goodwatt.model.tariff import Tariff
from goodwatt.publish.metrics.row import About, Kind, Metric, Sample, Stability


def _number(get: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample without labels; none if the value is unknown."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        value = get(snapshot)
        if value is not None:
            yield (), value

    return samples


def _price(get: Callable[[Tariff], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample by currency; none if the price is not configured."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        tariff = snapshot.policy.tariff
        value = None if tariff is None else get(tariff)
        if tariff is not None and value is not None:
            yield (tariff.currency,), value

    return samples


def _by_source(get: Callable[[Snapshot, SourceState], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample for each source whose value is known."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for state in snapshot.sources:
            value = get(snapshot, state)
            if value is not None:
                yield (state.source.label,), value

    return samples


def age_seconds(snapshot: Snapshot, state: SourceState) -> float | None:
    """Return the time since the source was last read successfully; None before the first success."""
    return None if state.last_success_seconds is None else snapshot.at_seconds - state.last_success_seconds


def _source_failures(snapshot: Snapshot) -> Iterator[Sample]:
    for state in snapshot.sources:
        for reason, count in state.failures.items():
            yield (state.source.label, reason.value), count


def _source_info(snapshot: Snapshot) -> Iterator[Sample]:
    for source, simulated in _simulated(snapshot).items():
        yield (source.label, _boolean(simulated)), 1


def is_simulated(snapshot: Snapshot, about: About) -> bool:
    """Whether any published figure comes from simulated hardware or servers."""
    return about.simulated or any(_simulated(snapshot).values())


def _simulated(snapshot: Snapshot) -> dict[SourceId, bool]:
    """Return each fresh source and whether it is simulated, which only a reading reveals.

    A record source is included once a server's records come from it.
    """
    states = {state.source: bool(state.simulated) for state in snapshot.sources}
    fresh = {*snapshot.gpu_sources, *snapshot.record_sources.values(), *map(server_source, snapshot.servers)}
    return {source: simulated for source, simulated in states.items() if source in fresh}


def _boolean(flag: bool) -> str:
    return "true" if flag else "false"


def _build_info(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        yield (about.version, about.python, _boolean(is_simulated(snapshot, about))), 1

    return samples


def _config_info(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(_: Snapshot) -> Iterator[Sample]:
        if about.config_hash is not None:
            yield (about.config_hash,), 1

    return samples


def about_rows(about: About) -> tuple[Metric, ...]:
    """Return the rows whose values come from `about`; those that it leaves as None have no samples."""
    return (
        Metric(
            name="build_info",
            kind=Kind.INFO,
            unit="",
            help="Version of goodwatt, and whether any of its figures are simulated.",
            labels=("version", "python", "simulated"),
            value=_build_info(about),
            stability=Stability.STABLE,
        ),
        Metric(
            name="config_info",
            kind=Kind.INFO,
            unit="",
            help="Hash of the active configuration.",
            labels=("hash",),
            value=_config_info(about),
        ),
        Metric(
            name="config_last_reload_successful",
            kind=Kind.GAUGE,
            unit="",
            help="1 if the last reload succeeded, 0 if it was rejected and the previous configuration is still active.",
            labels=(),
            value=_number(lambda _: None if about.reload_ok is None else int(about.reload_ok)),
        ),
        Metric(
            name="config_last_reload_success_timestamp_seconds",
            kind=Kind.GAUGE,
            unit="seconds",
            help="Unix time at which the active configuration was loaded.",
            labels=(),
            value=_number(lambda _: about.reloaded_unix_seconds),
        ),
    )


GOODWATT = (
    Metric(
        name="facility_host_factor_ratio",
        kind=Kind.GAUGE,
        unit="ratio",
        help="Configured host factor: node energy / GPU energy. 1 if not configured.",
        labels=(),
        value=_number(lambda snapshot: snapshot.policy.facility.host_factor),
    ),
    Metric(
        name="facility_pue_ratio",
        kind=Kind.GAUGE,
        unit="ratio",
        help="Configured PUE: facility energy / node energy. 1 if not configured.",
        labels=(),
        value=_number(lambda snapshot: snapshot.policy.facility.pue),
    ),
    Metric(
        name="price_per_gpu_hour",
        kind=Kind.GAUGE,
        unit="",
        help="Configured price of a GPU-hour, electricity included.",
        labels=("currency",),
        value=_price(lambda tariff: tariff.price_per_gpu_hour),
    ),
    Metric(
        name="price_per_kwh",
        kind=Kind.GAUGE,
        unit="",
        help="Configured electricity price per kWh at the facility meter.",
        labels=("currency",),
        value=_price(lambda tariff: tariff.price_per_kwh),
    ),
    Metric(
        name="carbon_intensity_grams_per_kwh",
        kind=Kind.GAUGE,
        unit="grams_per_kwh",
        help="Configured CO2 equivalent per kWh at the facility meter.",
        labels=(),
        value=_number(lambda s: None if s.policy.carbon is None else s.policy.carbon.grams_per_kwh),
    ),
    Metric(
        name="window_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Configured length of the live window. An engine that counts tokens only when a request ends has a longer "
        "one: see live_window_seconds.",
        labels=(),
        value=_number(lambda snapshot: snapshot.policy.window_seconds),
    ),
    Metric(
        name="interval_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Configured time between ticks. Every tick reads every source.",
        labels=(),
        value=_number(lambda snapshot: snapshot.policy.interval_seconds),
    ),
    Metric(
        name="ticks_total",
        kind=Kind.COUNTER,
        unit="ticks",
        help="Ticks since goodwatt started.",
        labels=(),
        value=_number(lambda snapshot: snapshot.ticks),
    ),
    Metric(
        name="tick_duration_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Duration of the previous tick.",
        labels=(),
        value=_number(lambda snapshot: snapshot.tick_seconds),
    ),
    Metric(
        name="source_up",
        kind=Kind.GAUGE,
        unit="",
        help="1 if the last read of the source succeeded, 0 if it failed.",
        labels=("source",),
        value=_by_source(lambda _, state: int(state.up)),
        stability=Stability.STABLE,
    ),
    Metric(
        name="source_info",
        kind=Kind.INFO,
        unit="",
        help="Whether the source is simulated. Absent while the source is stale.",
        labels=("source", "simulated"),
        value=_source_info,
    ),
    Metric(
        name="source_age_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Time since the source was last read successfully. Absent before the first success.",
        labels=("source",),
        value=_by_source(age_seconds),
        stability=Stability.STABLE,
    ),
    Metric(
        name="source_read_duration_seconds",
        kind=Kind.GAUGE,
        unit="seconds",
        help="Duration of the last read of the source.",
        labels=("source",),
        value=_by_source(lambda _, state: state.duration_seconds),
        stability=Stability.STABLE,
    ),
    Metric(
        name="source_failures_total",
        kind=Kind.COUNTER,
        unit="failures",
        help="Failed reads of the source, by reason. A reason that never occurred has no series.",
        labels=("source", "reason"),
        value=_source_failures,
        stability=Stability.STABLE,
    ),
)
