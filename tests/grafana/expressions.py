"""The PromQL of the dashboards: lists the queries, fills in Grafana's variables, and takes expressions apart."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from grafana.board import Board, Choice
from grafana.files import BOARDS
from grafana.panels import Panel, Query

SELECTOR = re.compile(r"(\w*)(\(?)\b([a-z][\w:]+)\{([^}]*)\}(?:\[([^\]]*)\])?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
MATCHING = re.compile(r"on \([\w, ]*\) group_left \(\) ")


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    board: Board
    panel: Panel
    query: Query

    def __str__(self) -> str:
        return f"{self.board.title}: {self.panel.title}: {self.query.expression}"


@dataclass(frozen=True)
class Selector:
    """`function(metric{matchers}[window])`; function and window are empty where there is none."""

    function: str
    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    window: str

    @property
    def labels(self) -> set[str]:
        return {label for label, _, _ in self.matchers}


def asked() -> Iterator[Asked]:
    """Every query of every panel."""
    for board in BOARDS:
        for panel in board.panels:
            yield from (Asked(board, panel, query) for query in panel.queries)


def expressions(board: Board) -> Iterator[str]:
    """Every query of a dashboard: panels, variables and annotations."""
    yield from (query.expression for panel in board.panels for query in panel.queries)
    yield from (query for _, query in variables(board) if query)
    yield from (marks.expression for marks in board.annotations)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace each `$name` with its value, longer names first."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${name}", values[name])
    return text


def variables(board: Board) -> Iterator[tuple[str, str]]:
    """Every variable with its Prometheus query; empty if its values are fixed."""
    for variable in board.variables:
        yield variable.name, "" if isinstance(variable, Choice) else variable.query


def selectors(expression: str) -> Iterator[Selector]:
    """Every series selector in the expression."""
    for function, opened, metric, matchers, window in SELECTOR.findall(expression):
        yield Selector(function if opened else "", metric, tuple(MATCHER.findall(matchers)), window)


def divisors(expression: str) -> Iterator[str]:
    """Every divisor: a number, or the contents of its parentheses."""
    for found in re.finditer(r" / ", expression):
        rest = MATCHING.sub("", expression[found.end() :], count=1)
        number = re.match(r"[\d.e]+", rest)
        yield number[0] if number else rest[1 : _closing(rest)]


def _closing(text: str) -> int:
    """Return the index that closes the opening parenthesis."""
    assert text.startswith("("), text
    depth = 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return at
    raise AssertionError(f"never closed: {text}")
