"""The parser's output for one page: samples by metric name, and the metrics with invalid lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LabelPairs = tuple[tuple[str, str], ...]  # (name, value) pairs, sorted by name


@dataclass(frozen=True, slots=True)
class PageSamples:
    """Samples with the requested names only. Values are finite, >= 0 and at most 2**53, so integers are exact.

    `damaged` lists metrics with at least one invalid line, so that a histogram with gaps can be rejected. A
    repeated series keeps its first value; the repeat counts as a dropped line but not as damage. `cut` means that the
    page ends in the middle of a line and may be incomplete.
    """

    samples: Mapping[str, Mapping[LabelPairs, float]]
    damaged: frozenset[str] = field(default=frozenset())
    dropped_lines: int = 0
    cut: bool = False

    def has(self, metric: str) -> bool:
        """Whether the metric is on the page, valid or not."""
        return metric in self.samples or metric in self.damaged
