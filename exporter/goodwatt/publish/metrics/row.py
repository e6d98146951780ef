"""What a row of the metric table is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from goodwatt.model.histogram import Histogram
from goodwatt.model.snapshot import Snapshot

PREFIX = "goodwatt_"

Value = float | Histogram
Sample = tuple[tuple[str, ...], Value]  # label values in the row's order, and the value


class Kind(StrEnum):
    """What a reader may do with the numbers."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # always 1; the labels carry the meaning


class Stability(StrEnum):
    """What an upgrade may do to a metric."""

    STABLE = "stable"  # name, labels and meaning stay; a change is announced with both names
    BETA = "beta"  # may still change in a minor version


@dataclass(frozen=True, slots=True)
class Metric:
    """One exposed metric. `name` is without PREFIX; `unit` is empty, or the part of the name that says the unit.

    `value` is pure. It gives one sample a series and none for what is unknown; it never gives a series twice.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...]
    value: Callable[[Snapshot], Iterable[Sample]]
    stability: Stability = Stability.BETA

    @property
    def exposed(self) -> str:
        """The name as it is queried (a histogram's series add _bucket, _count and _sum)."""
        return PREFIX + self.name

    @property
    def family(self) -> str:
        """The name without the suffix that counters and info metrics owe to their kind."""
        return self.exposed.removesuffix(_SUFFIXES.get(self.kind, ""))


_SUFFIXES = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


@dataclass(frozen=True, slots=True)
class About:
    """What the program says of itself. `simulated`: no hardware stands behind any figure.

    `reload_ok` and `reloaded_unix_seconds` are of the last reading of the configuration, and of the last good one;
    None where no configuration can be read again.
    """

    version: str = "unknown"
    python: str = "unknown"
    config_hash: str | None = None
    simulated: bool = False
    reload_ok: bool | None = None
    reloaded_unix_seconds: float | None = None
