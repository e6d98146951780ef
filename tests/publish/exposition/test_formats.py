"""Content negotiation, and how often each variant is rendered."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.formats import (
    RECENTLY_SCRAPED_SECONDS,
    ExpositionFormat,
    ExpositionPages,
    Variant,
    negotiate,
)
from goodwatt.publish.metrics.row import Kind, Metric
from tests.publish.pages import small

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TEXT_FIRST = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ACCEPT = {
    PROMETHEUS_2: ExpositionFormat.OPENMETRICS,
    PROMETHEUS_3: ExpositionFormat.OPENMETRICS,
    TEXT_FIRST: ExpositionFormat.TEXT,
    BROWSER: ExpositionFormat.TEXT,
    "text/plain": ExpositionFormat.TEXT,
    "*/*": ExpositionFormat.TEXT,
    "": ExpositionFormat.TEXT,
    None: ExpositionFormat.TEXT,
    "application/openmetrics-text": ExpositionFormat.OPENMETRICS,
    "Application/OpenMetrics-Text; Version=1.0.0": ExpositionFormat.OPENMETRICS,
    "application/openmetrics-text; version=0.0.1": ExpositionFormat.TEXT,
    "application/openmetrics-text; version=2.0.0": ExpositionFormat.TEXT,
    "application/openmetrics-text; q=0": ExpositionFormat.TEXT,
    "application/openmetrics-text; q=much": ExpositionFormat.TEXT,
}
ENCODING = {
    "gzip": True,
    "gzip, deflate, br": True,
    "deflate;q=1, GZIP;q=0.5": True,
    "gzip;q=0": False,
    "identity": False,
    "": False,
    None: False,
}


@pytest.mark.parametrize(("accept", "format_"), ACCEPT.items())
def test_format(accept: str | None, format_: ExpositionFormat) -> None:
    """A client that accepts OpenMetrics 1.0.0 and does not prefer text gets it; any other gets text."""
    assert negotiate(accept, None) == Variant(format_)


@pytest.mark.parametrize(("encoding", "zipped"), ENCODING.items())
def test_encoding(encoding: str | None, zipped: bool) -> None:
    """Only a client that accepts gzip gets it."""
    assert negotiate(None, encoding) == Variant(ExpositionFormat.TEXT, zipped)


@given(accept=st.text(), encoding=st.text())
def test_any_header_gets_an_answer(accept: str, encoding: str) -> None:
    """Any header value is answered with one of the variants."""
    assert negotiate(accept, encoding).format in ExpositionFormat


class Counted:
    """A row that counts how often it is evaluated, and a clock that only moves when set."""

    def __init__(self) -> None:
        self.times = 0
        self.now = 100.0
        self.pages = ExpositionPages([Metric("a", Kind.GAUGE, "", "A.", (), self._value)], lambda: self.now)

    def _value(self, _: Snapshot) -> list[tuple[tuple[str, ...], float]]:
        self.times += 1
        return [((), 1.0)]


def test_a_variant_is_rendered_once_per_snapshot() -> None:
    """However many scrapers there are, compressed or not, a format is rendered once per snapshot."""
    counted = Counted()
    counted.pages.show(small())
    assert counted.times == 0
    plain = counted.pages.page(Variant(ExpositionFormat.TEXT))
    assert counted.pages.page(Variant(ExpositionFormat.TEXT)) is plain
    zipped = counted.pages.page(Variant(ExpositionFormat.TEXT, gzip=True))
    assert counted.times == 1
    assert plain is not None
    assert zipped is not None
    assert gzip.decompress(zipped) == plain
    assert plain.startswith(b"# HELP goodwatt_a A.\n# TYPE goodwatt_a gauge\ngoodwatt_a 1.0\n")
    openmetrics = counted.pages.page(Variant(ExpositionFormat.OPENMETRICS))
    assert openmetrics is not None
    assert openmetrics.endswith(b"# EOF\n")
    assert counted.times == 2


def test_recently_scraped_formats_are_rendered_ahead() -> None:
    """Only a format scraped in the last three minutes is rendered along with a new snapshot."""
    counted = Counted()
    counted.pages.show(small())
    counted.pages.page(Variant(ExpositionFormat.TEXT, gzip=True))
    counted.now += RECENTLY_SCRAPED_SECONDS
    counted.pages.show(small())
    assert counted.times == 2
    counted.pages.page(Variant(ExpositionFormat.OPENMETRICS))
    counted.now += 1
    counted.pages.show(small())
    assert counted.times == 4  # OpenMetrics at the request and now; text no longer
    counted.pages.page(Variant(ExpositionFormat.TEXT))
    assert counted.times == 5


def test_nothing_before_the_first_snapshot() -> None:
    """Before the first snapshot there is no page."""
    pages = Counted().pages
    assert pages.page(Variant(ExpositionFormat.TEXT)) is None
    assert pages.latest is None
