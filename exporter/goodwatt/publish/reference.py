"""The reference of every metric, as Markdown, made from the table."""

from collections.abc import Iterator

from goodwatt.publish.metrics.row import Kind, Metric
from goodwatt.publish.metrics.table import metric_groups

_INTRODUCTION = """\
# Metrics

Made by `goodwatt metrics`; a test compares this page with the table in `exporter/goodwatt/publish/metrics/table.py`.

* A counter starts at 0 when goodwatt starts. Counters are the truth: `rate()` and `increase()` choose the window.
  Live figures are a convenience over `goodwatt_window_seconds`.
* What is unknown has no series; 0 is a measured zero. A source that fails three ticks in a row takes its series with
  it, and `goodwatt_source_up`, `goodwatt_source_age_seconds` and `goodwatt_source_failures_total` say why.
* Money is in the unit that the label `currency` names. `bound` is `lower` or `upper`: what latency histograms prove.
* Stable metrics keep their name, labels and meaning; a change is announced with both names. Beta ones may still change.
* The `process_*` metrics of goodwatt itself are on the same page, as every Prometheus client library defines them.
"""


def reference() -> str:
    """The page, ending in one newline."""
    parts = [_INTRODUCTION]
    for heading, rows in metric_groups():
        parts.append(f"\n## {heading}\n")
        parts += [_entry(row) for row in rows]
    return "".join(parts)


def _entry(row: Metric) -> str:
    return f"\n### `{row.exposed}`\n\n{row.help}\n\n" + "".join(f"* {fact}\n" for fact in _facts(row))


def _facts(row: Metric) -> Iterator[str]:
    yield f"Kind: {row.kind.value}{', always 1' if row.kind is Kind.INFO else ''}"
    yield "Labels: " + (", ".join(f"`{label}`" for label in row.labels) or "none")
    if "currency" in row.labels:
        yield "Unit: the currency that the label names"
    elif row.unit:
        yield f"Unit: {row.unit.replace('_', ' ')}"
    yield f"Stability: {row.stability.value}"
