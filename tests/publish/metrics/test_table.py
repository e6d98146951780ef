"""The table itself: names, units, labels and help texts."""

import re

import pytest

from goodwatt.model.histogram import Histogram
from goodwatt.publish.metrics.row import Kind, Metric
from goodwatt.publish.metrics.table import metric_table
from tests.fakes.snapshots import snapshot
from tests.publish.pages import recorded

ROWS = metric_table()
UNITLESS = {
    "slo_possibly_bad_in_flight",
    "slo_possibly_good_in_flight",
    "server_up",
    "config_last_reload_successful",
    "source_up",
    "gpu_throttled",
    "gpu_state",
    "gpu_last_xid",  # a number in a list
    "requests_running",
    "requests_waiting",
    "request_records_dropped_total",  # not of requests alone
}
BASE_UNITS = {"joules", "watts", "seconds", "bytes", "hertz", "celsius", "grams", "ratio"}
COUNTED = {"tokens", "requests", "records", "preemptions", "lines", "glitches", "errors", "ticks", "failures"}

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@rows
def test_name_is_lower_snake_case(row: Metric) -> None:
    """A name is lower-case words joined by single underscores, and so is each label."""
    for word in (row.exposed, *row.labels):
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", word)


@rows
def test_suffix_follows_kind(row: Metric) -> None:
    """Exactly the counters end in _total and exactly the info metrics in _info; no name has a histogram's suffix."""
    assert row.name.endswith("_total") == (row.kind is Kind.COUNTER)
    assert row.name.endswith("_info") == (row.kind is Kind.INFO)
    assert not row.name.endswith(("_count", "_sum", "_bucket", "_created"))
    assert not {"counter", "gauge", "histogram"} & set(row.name.split("_"))


@rows
def test_name_ends_in_its_unit(row: Metric) -> None:
    """A name ends in its unit; only money, info, flags and current numbers of requests have none."""
    if row.unit:
        assert row.family.endswith(f"_{row.unit}")
    else:
        assert row.kind is Kind.INFO or "currency" in row.labels or row.name in UNITLESS


@rows
def test_units_are_base_units(row: Metric) -> None:
    """Units are SI base units, bytes, ratios or things counted; a quotient has one of these on both sides."""
    if row.unit and row.unit != "grams_per_kwh":  # a grid's intensity is given in no other way
        over, _, under = row.unit.partition("_per_")
        assert over in BASE_UNITS | COUNTED
        assert under in {"", "second", "watt", "joule", "token"}


@rows
def test_help_is_one_sentence_or_more(row: Metric) -> None:
    """A help text is on one line, starts with a capital, a digit or a known name, and ends in a full stop."""
    assert re.fullmatch(r"[A-Z0-9][^\n]+\.", row.help)


@rows
def test_labels_do_not_repeat(row: Metric) -> None:
    """No label is repeated, and none is reserved."""
    assert len(set(row.labels)) == len(row.labels)
    assert not {"le", "quantile", "job", "instance"} & set(row.labels)


@rows
def test_samples_fit_their_row(row: Metric) -> None:
    """Each sample has a value for each label; histograms come from histogram rows only; info metrics are 1."""
    for labels, value in [*row.value(snapshot(2)), *row.value(recorded())]:
        assert len(labels) == len(row.labels)
        assert all(isinstance(label, str) for label in labels)
        assert isinstance(value, Histogram) == (row.kind is Kind.HISTOGRAM)
        assert row.kind is not Kind.INFO or value == 1


def test_names_and_help_texts_are_unique() -> None:
    """No two rows share a name, a family or a help text."""
    for get in (lambda row: row.name, lambda row: row.family, lambda row: row.help):
        assert len({get(row) for row in ROWS}) == len(ROWS)
