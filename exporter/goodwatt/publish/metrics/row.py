"""The row of the metric table, and the labels that rows share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from goodwatt.model.histogram import Histogram
from goodwatt.model.snapshot import Snapshot

PREFIX = "goodwatt_"

ACCOUNT_LABEL_NAMES = ("server", "model")
SLO_LABEL_NAMES = (*ACCOUNT_LABEL_NAMES, "slo")

Value = float | Histogram
Sample = tuple[tuple[str, ...], Value]  # label values in the row's order, and the value


class Kind(StrEnum):
    """The metric type, as OpenMetrics defines it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"  # always 1; the labels carry the meaning


class Stability(StrEnum):
    """What an upgrade may change about a metric."""

    STABLE = "stable"  # name, labels and meaning stay; a change is announced with both names
    BETA = "beta"  # may still change in a minor version


@dataclass(frozen=True, slots=True)
class Metric:
    """One exposed metric.

    `name` lacks PREFIX. `unit` is the unit within the name, or empty. `value` is pure: it yields one sample for each
    series, none for an unknown value, and never the same label values twice.
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
        """Return the name to query; a histogram's series append _bucket, _count and _sum."""
        return PREFIX + self.name

    @property
    def family(self) -> str:
        """Return the metric family's name: without the _total of a counter or the _info of an info metric."""
        return self.exposed.removesuffix(_SUFFIXES.get(self.kind, ""))


_SUFFIXES = {Kind.COUNTER: "_total", Kind.INFO: "_info"}


@dataclass(frozen=True, slots=True)
class About:
    """The program's own facts. `simulated` means that all hardware and servers are simulated, as in the demo.

    `reload_ok` is the result of the last reload and `reloaded_unix_seconds` the time of the last successful one; both
    are None when there is no configuration to reload.
    """

    version: str = "unknown"
    python: str = "unknown"
    config_hash: str | None = None
    simulated: bool = False
    reload_ok: bool | None = None
    reloaded_unix_seconds: float | None = None
