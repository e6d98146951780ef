"""A measured figure, and how results are shown and saved."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


class CannotRun(Exception):
    """A bench cannot run on this machine; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `target` is the limit it must stay below, or None if it is only reported."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without a target."""
        return None if self.target is None else self.value < self.target


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def as_lines(bench: str, rows: Iterable[Row]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps({"bench": bench, **asdict(row), "ok": row.ok}) + "\n" for row in rows)


def keep(path: Path, lines: str) -> None:
    """Write the lines of a whole run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines)


def as_table(bench: str, rows: Sequence[Row]) -> str:
    """The rows of one bench as a table."""
    width = max(len(row.name) for row in rows)
    lines = [f"  {row.name:<{width}}  {_shown(row.value):>10} {row.unit:<10}{_verdict(row)}" for row in rows]
    return "\n".join([f"{bench}:", *lines])


def _verdict(row: Row) -> str:
    if row.target is None:
        return ""
    return f"  target < {_shown(row.target)}  {'ok' if row.ok else 'MISSED'}"


def _shown(value: float) -> str:
    return f"{value:.4g}"
