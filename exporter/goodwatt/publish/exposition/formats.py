"""Which bytes a scraper gets: chosen by what it accepts, made once a snapshot."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from prometheus_client.metrics_core import Metric as Family

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition import collector, writer
from goodwatt.publish.metrics.row import Metric

ASKED_LATELY_SECONDS = 180.0
_GZIP_LEVEL = 1  # a third of the time of the default level, for a page a sixth larger


class Format(StrEnum):
    """Exposition formats; the value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Variant(NamedTuple):
    """One way to send a snapshot."""

    format: Format
    gzip: bool = False


def choose(accept: str | None, accept_encoding: str | None) -> Variant:
    """The variant for a request's headers. OpenMetrics only for who prefers it to text; anything odd gets text."""
    openmetrics = text = 0.0
    for name, parameters in _entries(accept):
        if name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0":
            openmetrics = max(openmetrics, _quality(parameters))
        elif name == "text/plain":
            text = max(text, _quality(parameters))
    encodings = {name: _quality(parameters) for name, parameters in _entries(accept_encoding)}
    prefers_openmetrics = openmetrics > 0 and openmetrics >= text
    return Variant(Format.OPENMETRICS if prefers_openmetrics else Format.TEXT, encodings.get("gzip", 0.0) > 0)


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


def render(snapshot: Snapshot, rows: Sequence[Metric], format_: Format = Format.TEXT) -> bytes:
    """One page of one snapshot, with the process_* families."""
    return _write(format_, collector.registry(rows, lambda: snapshot).collect())


class Pages:
    """The pages of the latest snapshot. Not for use from several threads."""

    def __init__(self, rows: Sequence[Metric], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest: Snapshot | None = None
        self._registry = collector.registry(rows, lambda: self._latest)
        self._made: dict[Variant, bytes] = {}
        self._asked: dict[Variant, float] = {}

    @property
    def latest(self) -> Snapshot | None:
        """The snapshot that the pages show."""
        return self._latest

    def describe(self, rows: Sequence[Metric]) -> None:
        """Show these rows from the next page that is made on: after `turn`, or of a variant not made yet."""
        self._registry = collector.registry(rows, lambda: self._latest)

    def turn(self, snapshot: Snapshot) -> None:
        """Show another snapshot. Pages that were asked for lately are made now, so that no scraper waits for them."""
        self._latest = snapshot
        self._made = {}
        since = self._clock() - ASKED_LATELY_SECONDS
        self._asked = {variant: at for variant, at in self._asked.items() if at >= since}
        for variant in self._asked:
            self._page(variant)

    def page(self, variant: Variant) -> bytes | None:
        """Bytes in one variant, made at most once a snapshot; None before the first snapshot."""
        if self._latest is None:
            return None
        self._asked[variant] = self._clock()
        return self._page(variant)

    def _page(self, variant: Variant) -> bytes:
        if variant not in self._made:
            self._made[variant] = self._make(variant)
        return self._made[variant]

    def _make(self, variant: Variant) -> bytes:
        if variant.gzip:
            return gzip.compress(self._page(variant._replace(gzip=False)), _GZIP_LEVEL, mtime=0)
        return _write(variant.format, self._registry.collect())


def _write(format_: Format, families: Iterable[Family]) -> bytes:
    return writer.openmetrics(families) if format_ is Format.OPENMETRICS else writer.text(families)
