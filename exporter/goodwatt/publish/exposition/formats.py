"""Content negotiation of /metrics; each variant is rendered at most once per snapshot."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from prometheus_client.metrics_core import Metric as Family

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition import collector, writer
from goodwatt.publish.metrics.row import Metric

RECENTLY_SCRAPED_SECONDS = 180.0
_GZIP_LEVEL = 1  # takes a third of the default level's time; the page is a sixth larger


class ExpositionFormat(StrEnum):
    """Exposition formats; the value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Variant(NamedTuple):
    """A format, compressed or not."""

    format: ExpositionFormat
    gzip: bool = False


def negotiate(accept: str | None, accept_encoding: str | None) -> Variant:
    """Return the variant for a request's headers: OpenMetrics if accepted with at least the quality of text."""
    openmetrics = text = 0.0
    for name, parameters in _entries(accept):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, _quality(parameters))
        elif name == "text/plain":
            text = max(text, _quality(parameters))
    encodings = {name: _quality(parameters) for name, parameters in _entries(accept_encoding)}
    prefers_openmetrics = openmetrics > 0 and openmetrics >= text
    return Variant(
        ExpositionFormat.OPENMETRICS if prefers_openmetrics else ExpositionFormat.TEXT, encodings.get("gzip", 0.0) > 0
    )


def _entries(header: str | None) -> Iterable[tuple[str, dict[str, str]]]:
    for entry in (header or "").split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name, {key.strip(): value.strip() for key, _, value in pairs}


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 0.0


def render(snapshot: Snapshot, rows: Sequence[Metric], format_: ExpositionFormat = ExpositionFormat.TEXT) -> bytes:
    """Render one snapshot, with the process_* families."""
    return _write(format_, collector.snapshot_registry(rows, lambda: snapshot).collect())


class ExpositionPages:
    """Renders and caches the variants of the latest snapshot. Not thread-safe."""

    def __init__(self, rows: Sequence[Metric], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest: Snapshot | None = None
        self._registry = collector.snapshot_registry(rows, lambda: self._latest)
        self._rendered: dict[Variant, bytes] = {}
        self._scraped: dict[Variant, float] = {}

    @property
    def latest(self) -> Snapshot | None:
        """Return the snapshot being rendered; None before the first."""
        return self._latest

    def describe(self, rows: Sequence[Metric]) -> None:
        """Use these rows for every page not rendered yet; call `show` to render again."""
        self._registry = collector.snapshot_registry(rows, lambda: self._latest)

    def show(self, snapshot: Snapshot) -> None:
        """Switch to another snapshot, and render recently scraped variants now so that no scraper waits for them."""
        self._latest = snapshot
        self._rendered = {}
        since = self._clock() - RECENTLY_SCRAPED_SECONDS
        self._scraped = {variant: at for variant, at in self._scraped.items() if at >= since}
        for variant in self._scraped:
            self._page(variant)

    def page(self, variant: Variant) -> bytes | None:
        """Return the page in one variant; None before the first snapshot."""
        if self._latest is None:
            return None
        self._scraped[variant] = self._clock()
        return self._page(variant)

    def _page(self, variant: Variant) -> bytes:
        if variant not in self._rendered:
            self._rendered[variant] = self._render(variant)
        return self._rendered[variant]

    def _render(self, variant: Variant) -> bytes:
        if variant.gzip:
            return gzip.compress(self._page(variant._replace(gzip=False)), _GZIP_LEVEL, mtime=0)
        return _write(variant.format, self._registry.collect())


def _write(format_: ExpositionFormat, families: Iterable[Family]) -> bytes:
    return (
        writer.write_openmetrics(families) if format_ is ExpositionFormat.OPENMETRICS else writer.write_text(families)
    )
