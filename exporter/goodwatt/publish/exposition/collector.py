"""The metric table as a prometheus_client collector."""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample as Line

from goodwatt.model.histogram import Histogram
from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.writer import format_value
from goodwatt.publish.metrics.row import Metric


class SnapshotCollector(Collector):
    """Collects from the snapshot that `latest` returns; nothing before the first. Omits families without samples."""

    def __init__(self, rows: Sequence[Metric], latest: Callable[[], Snapshot | None]) -> None:
        self._rows = rows
        self._latest = latest

    def describe(self) -> Iterator[Family]:
        """Return every family that may appear, without samples."""
        return map(empty_family, self._rows)

    def collect(self) -> Iterator[Family]:
        """Yield the families that have samples, in table order."""
        snapshot = self._latest()
        if snapshot is not None:
            yield from (found for found in (filled_family(row, snapshot) for row in self._rows) if found.samples)


def snapshot_registry(rows: Sequence[Metric], latest: Callable[[], Snapshot | None]) -> CollectorRegistry:
    """Return a new registry with the table's families and the process_* ones."""
    own = CollectorRegistry(auto_describe=True)
    own.register(SnapshotCollector(rows, latest))
    ProcessCollector(registry=own)
    return own


def empty_family(row: Metric) -> Family:
    """Return the row's family without samples."""
    return Family(row.family, row.help, row.kind.value, row.unit)


def filled_family(row: Metric, snapshot: Snapshot) -> Family:
    """Return the row's family with the snapshot's samples."""
    found = empty_family(row)
    lines = found.samples
    for values, value in row.value(snapshot):
        labels = dict(zip(row.labels, values, strict=True))
        if isinstance(value, Histogram):
            lines.extend(_buckets(row.family, labels, value))
        else:
            lines.append(Line(row.exposed, labels, value))
    return found


def _buckets(name: str, labels: dict[str, str], histogram: Histogram) -> Iterator[Line]:
    """Omit the count if the sum is unknown: OpenMetrics allows both or neither, and the +Inf bucket has the count."""
    bucket = name + "_bucket"
    for edge, count in zip(histogram.edges, histogram.counts, strict=True):
        yield Line(bucket, {**labels, "le": format_value(edge)}, count)
    yield Line(bucket, {**labels, "le": "+Inf"}, histogram.count)
    if histogram.sum is not None:
        yield Line(name + "_count", labels, histogram.count)
        yield Line(name + "_sum", labels, histogram.sum)
