"""The PromQL of the dashboards: what is asked, with Grafana's variables filled in, and which names it mentions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from grafana.board import Board, Choice
from grafana.files import BOARDS
from grafana.panels import Query

SELECTED = re.compile(r"(goodwatt_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    board: Board
    panel: str
    query: Query

    def __str__(self) -> str:
        return f"{self.board.title}: {self.panel}: {self.query.expression}"


def asked() -> Iterator[Asked]:
    """Every query of every panel."""
    for board in BOARDS:
        for panel in board.panels:
            yield from (Asked(board, panel.title, query) for query in panel.queries)


def filled(text: str, values: Mapping[str, str]) -> str:
    """With `$name` replaced by its value, longer names first."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${name}", values[name])
    return text


def variables(board: Board) -> Iterator[tuple[str, str]]:
    """Names of the variables, and what fills them: a Prometheus query, or nothing where the values are fixed."""
    for variable in board.variables:
        yield variable.name, "" if isinstance(variable, Choice) else variable.query


def selectors(expression: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each of our metrics with the labels that it is matched by."""
    for metric, matchers in SELECTED.findall(expression):
        yield metric, tuple(label for label, _, _ in MATCHER.findall(matchers))
