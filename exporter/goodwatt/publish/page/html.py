"""Page elements as values: the server renders them as HTML, the script receives the same tree as JSON."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple, TypeAlias, Union

Node: TypeAlias = Union[str, "Element"]


class Element(NamedTuple):
    """An HTML element; in JSON `[tag, {attribute: value}, [child, ...]]`. Tags and attribute names are never input."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Node, ...]


def el(tag: str, *children: Node | None, **attributes: str | None) -> Element:
    """Build an element, dropping None and empty values. `class_` becomes class, and `aria_label` aria-label."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value}
    return Element(tag, named, tuple(merge_texts(children)))


def merge_texts(children: Iterable[Node | None]) -> list[Node]:
    """Join adjacent texts, as a browser does, and drop empty children."""
    found: list[Node] = []
    for child in children:
        if isinstance(child, str) and found and isinstance(found[-1], str):
            found[-1] += child
        elif child:
            found.append(child)
    return found


def html(node: Node) -> str:
    """Render HTML with every text and attribute value escaped."""
    if isinstance(node, str):
        return escape(node)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in node.attributes.items())
    return f"<{node.tag}{attributes}>{''.join(map(html, node.children))}</{node.tag}>"
