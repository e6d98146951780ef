"""docs/metrics.md is made from the table."""

from goodwatt.publish.metrics.table import metric_table
from goodwatt.publish.reference import reference
from tests.publish.regenerate import REFERENCE


def test_the_file_is_up_to_date() -> None:
    """docs/metrics.md is what the table gives. `python -m tests.publish.regenerate` renews it."""
    assert REFERENCE.read_text("utf-8") == reference()


def test_every_metric_is_in_it() -> None:
    """Each row has its own heading, its help text and its labels."""
    text = reference()
    for row in metric_table():
        assert text.count(f"### `{row.exposed}`\n\n{row.help}\n") == 1
        assert all(f"`{label}`" in text for label in row.labels)
