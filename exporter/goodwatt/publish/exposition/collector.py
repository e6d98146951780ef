"""The metric table as a collector of prometheus_client."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample as Line

from goodwatt.model.histogram import Histogram
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.writer import number
from goodwatt.publish.metrics.row import Metric


class SnapshotCollector(Collector):
    """Families of the snapshot that `latest` gives; none before the first. A family without samples is left out."""

    def __init__(self, rows: Sequence[Metric], latest: Callable[[], Snapshot | None]) -> None:
        self._rows = rows
        self._latest = latest

    def describe(self) -> Iterator[Family]:
        """Every family that may appear, without samples."""
        return map(family, self._rows)

    def collect(self) -> Iterator[Family]:
        """The families that have samples, in the order of the table."""
        snapshot = self._latest()
        if snapshot is not None:
            yield from (found for found in (filled(row, snapshot) for row in self._rows) if found.samples)


def registry(rows: Sequence[Metric], latest: Callable[[], Snapshot | None]) -> CollectorRegistry:
    """A registry of its own, with the table's families and the process_* ones."""
    own = CollectorRegistry(auto_describe=True)
    own.register(SnapshotCollector(rows, latest))
    ProcessCollector(registry=own)
    return own


def family(row: Metric) -> Family:
    """The family of a row, without samples."""
    return Family(row.family, row.help, row.kind.value, row.unit)


def filled(row: Metric, snapshot: Snapshot) -> Family:
    """The family of a row, with the samples of a snapshot."""
    found = family(row)
    lines = found.samples
    for values, value in row.value(snapshot):
        labels = dict(zip(row.labels, values, strict=True))
        if isinstance(value, Histogram):
            lines.extend(_buckets(row.family, labels, value))
        else:
            lines.append(Line(row.exposed, labels, value))
    return found


def _buckets(name: str, labels: dict[str, str], histogram: Histogram) -> Iterator[Line]:
    """Without a sum there is no count either: OpenMetrics has them together or not at all. The +Inf bucket says it."""
    bucket = name + "_bucket"
    for edge, count in zip(histogram.edges, histogram.counts, strict=True):
        yield Line(bucket, {**labels, "le": number(edge)}, count)
    yield Line(bucket, {**labels, "le": "+Inf"}, histogram.count)
    if histogram.sum is not None:
        yield Line(name + "_count", labels, histogram.count)
        yield Line(name + "_sum", labels, histogram.sum)
