"""One scraped page as the parser leaves it: samples by metric name, and what it could not believe."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LabelPairs = tuple[tuple[str, str], ...]  # (name, value) pairs, sorted by name


@dataclass(frozen=True, slots=True)
class PageSamples:
    """Samples of the wanted metrics only. Values are finite, >= 0 and small enough to be exact counts.

    `damaged` names the wanted metrics that lost at least one line to these rules or to broken syntax, so that a reader
    can refuse a histogram with holes. A repeated series keeps its first value; the repeat counts as a dropped line and
    damages nothing. `cut` says that the page ends in the middle of a line, so that more may be missing.
    """

    samples: Mapping[str, Mapping[LabelPairs, float]]
    damaged: frozenset[str] = field(default=frozenset())
    dropped_lines: int = 0
    cut: bool = False

    def has(self, metric: str) -> bool:
        """Whether the page mentioned the metric at all, readable or not."""
        return metric in self.samples or metric in self.damaged
