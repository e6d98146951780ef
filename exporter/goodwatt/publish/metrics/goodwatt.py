"""Samples of goodwatt itself: its sources, its settings, and the factors in force."""

from collections.abc import Callable, Iterator

from goodwatt.model.snapshot import Snapshot, SourceState
from goodwatt.model.source import SourceId, server_source
from goodwatt.model.tariff import Tariff
from goodwatt.publish.metrics.row import About, Sample


def number(get: Callable[[Snapshot], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """One sample without labels, unless it is unknown."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        value = get(snapshot)
        if value is not None:
            yield (), value

    return samples


def source(get: Callable[[Snapshot, SourceState], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """source: one sample for each source on which `get` knows a value."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for state in snapshot.sources:
            value = get(snapshot, state)
            if value is not None:
                yield (state.source.label,), value

    return samples


def age_seconds(snapshot: Snapshot, state: SourceState) -> float | None:
    """Time since the last success; None before the first."""
    return None if state.last_success_seconds is None else snapshot.at_seconds - state.last_success_seconds


def source_failures(snapshot: Snapshot) -> Iterator[Sample]:
    """source, reason: the reasons seen so far."""
    for state in snapshot.sources:
        for reason, count in state.failures.items():
            yield (state.source.label, reason.value), count


def source_info(snapshot: Snapshot) -> Iterator[Sample]:
    """source, simulated: for sources whose readings are fresh, since only a reading can tell."""
    for source, simulated in _simulated(snapshot).items():
        yield (source.label, _word(simulated)), 1


def is_simulated(snapshot: Snapshot, about: About) -> bool:
    """Whether anything simulated stands behind the figures."""
    return about.simulated or any(_simulated(snapshot).values())


def _simulated(snapshot: Snapshot) -> dict[SourceId, bool]:
    """By source, while its readings are fresh; a source of records is here once a server's records come from it."""
    states = {state.source: bool(state.simulated) for state in snapshot.sources}
    fresh = {*snapshot.gpu_sources, *snapshot.record_sources.values(), *map(server_source, snapshot.servers)}
    return {source: simulated for source, simulated in states.items() if source in fresh}


def _word(flag: bool) -> str:
    return "true" if flag else "false"


def build_info(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    """version, python, simulated."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        yield (about.version, about.python, _word(is_simulated(snapshot, about))), 1

    return samples


def config_info(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    """hash: absent where there is no configuration to hash."""

    def samples(_: Snapshot) -> Iterator[Sample]:
        if about.config_hash is not None:
            yield (about.config_hash,), 1

    return samples


def reload_ok(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    """No labels; absent where no configuration can be read again."""
    return number(lambda _: None if about.reload_ok is None else int(about.reload_ok))


def reloaded(about: About) -> Callable[[Snapshot], Iterator[Sample]]:
    """No labels; absent where no configuration can be read again."""
    return number(lambda _: about.reloaded_unix_seconds)


def price(get: Callable[[Tariff], float | None]) -> Callable[[Snapshot], Iterator[Sample]]:
    """currency: a price in force, unless it is not set."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        tariff = snapshot.policy.tariff
        value = None if tariff is None else get(tariff)
        if tariff is not None and value is not None:
            yield (tariff.currency,), value

    return samples


def slo_objective(snapshot: Snapshot) -> Iterator[Sample]:
    """slo."""
    for slo in snapshot.policy.slos:
        yield (slo.name,), slo.objective


def slo_threshold(snapshot: Snapshot) -> Iterator[Sample]:
    """slo, signal."""
    for slo in snapshot.policy.slos:
        for threshold in slo.thresholds:
            yield (slo.name, threshold.signal.value), threshold.seconds
