"""Counts by kind."""

from collections.abc import Mapping
from typing import TypeVar

Kind = TypeVar("Kind")


def plus(counts: Mapping[Kind, int], more: Mapping[Kind, int]) -> dict[Kind, int]:
    """Counts with more of the same added."""
    return {**counts, **{kind: counts.get(kind, 0) + number for kind, number in more.items()}}
