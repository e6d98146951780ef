"""Tables of the page: what is unknown is a dash, and under the table stands why."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from goodwatt.publish.page.html import Element, Node, el

UNKNOWN = "\N{EN DASH}"
MOST_REASONS = 12


class Cell(NamedTuple):
    """What stands in a cell; `why` is set where nothing is known, and then it is all there is to say."""

    content: tuple[Node, ...] = ()
    css: str = ""
    why: str = ""


class Column(NamedTuple):
    """A heading; columns of numbers are aligned by their digits."""

    heading: str
    css: str = ""


def number(heading: str) -> Column:
    """A column of numbers."""
    return Column(heading, "number")


def cell(*content: Node, css: str = "") -> Cell:
    """What is known."""
    return Cell(content, css)


def told(text: str | None, why: str) -> Cell:
    """A text, or why there is none."""
    return Cell(why=why) if text is None else Cell((text,))


def table(key: str, title: str, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> Node | None:
    """A section with one table, named by its first column; None without a row. `key` is its id on the page."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return None
    head = el("thead", el("tr", *(el("th", c.heading, scope="col", class_=c.css) for c in columns)))
    body = el("tbody", *(_row(columns, line) for line in lines))
    grid = el("table", el("caption", caption), head, body)
    return section(key, title, el("div", grid, class_="panel"), _reasons(columns, lines))


def section(key: str, title: str, *content: Node | None) -> Element:
    """A part of the page under its heading."""
    return el("section", el("h2", title, id=key), *content, aria_labelledby=key)


def _row(columns: Sequence[Column], line: Sequence[Cell]) -> Element:
    first, *others = zip(columns, line, strict=True)
    return el(
        "tr",
        el("th", *first[1].content, scope="row", data_label=first[0].heading),
        *(_field(column, one) for column, one in others),
    )


def _field(column: Column, one: Cell) -> Element:
    css = " ".join(filter(None, (column.css, one.css, "none" if one.why else "")))
    content = (UNKNOWN, el("span", f" ({one.why})", class_="unseen")) if one.why else one.content
    return el("td", *content, class_=css, data_label=column.heading)


def _reasons(columns: Sequence[Column], lines: Sequence[Sequence[Cell]]) -> Node | None:
    """Why there are dashes, each reason once with the columns that lack something for it."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        for column, one in zip(columns, line, strict=True):
            if one.why:
                found.setdefault(one.why, {})[column.heading] = None
    items = [el("li", f"{', '.join(headings)}: {why}") for why, headings in found.items()]
    left = len(items) - MOST_REASONS
    more = el("li", f"and {left} more reasons") if left > 0 else None
    return el("ul", *items[:MOST_REASONS], more, class_="reasons") if items else None
