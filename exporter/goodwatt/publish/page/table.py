"""The page's tables: an unknown value is a dash, and the reason is listed below the table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from goodwatt.publish.page.html import Element, Node, el

UNKNOWN = "\N{EN DASH}"
MAX_REASONS = 12


class Cell(NamedTuple):
    """The content of a table cell, or in `why` the reason that it is unknown."""

    content: tuple[Node, ...] = ()
    css: str = ""
    why: str = ""


class Column(NamedTuple):
    """The heading of a column, and the class that aligns its cells."""

    heading: str
    css: str = ""


def number_column(heading: str) -> Column:
    """Return a column whose cells are right-aligned numbers."""
    return Column(heading, "number")


def cell(*content: Node, css: str = "") -> Cell:
    """Return a cell with known content."""
    return Cell(content, css)


def known_or(text: str | None, why: str) -> Cell:
    """Return a cell with `text`; if it is None, one with the reason `why`."""
    return Cell(why=why) if text is None else Cell((text,))


def section_with_table(
    key: str, title: str, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]
) -> Node | None:
    """Return a section with one table, or None without rows. `key` is the section's id; column 1 names each row."""
    lines = [tuple(row) for row in rows]
    if not lines:
        return None
    head = el("thead", el("tr", *(el("th", c.heading, scope="col", class_=c.css) for c in columns)))
    body = el("tbody", *(_row(columns, line) for line in lines))
    grid = el("table", el("caption", caption), head, body)
    return section(key, title, el("div", grid, class_="panel"), _reasons(columns, lines))


def section(key: str, title: str, *content: Node | None) -> Element:
    """Return a section of the page with its heading, whose id is `key`."""
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
    """List each reason once, with the columns that have a dash because of it."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        for column, one in zip(columns, line, strict=True):
            if one.why:
                found.setdefault(one.why, {})[column.heading] = None
    items = [el("li", f"{', '.join(headings)}: {why}") for why, headings in found.items()]
    left = len(items) - MAX_REASONS
    more = el("li", f"and {left} more reasons") if left > 0 else None
    return el("ul", *items[:MAX_REASONS], more, class_="reasons") if items else None
