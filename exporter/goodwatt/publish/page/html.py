"""A piece of the page as values. The server writes it as HTML; the script gets the very same as JSON."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import NamedTuple, TypeAlias, Union

Node: TypeAlias = Union[str, "Element"]


class Element(NamedTuple):
    """In JSON `[tag, {attribute: value}, [child, ...]]`. Only values and texts ever come from outside, never names."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple[Node, ...]


def el(tag: str, *children: Node | None, **attributes: str | None) -> Element:
    """An element without what is None or empty. `class_` is class and `aria_label` is aria-label."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value}
    return Element(tag, named, tuple(merged(children)))


def merged(children: Iterable[Node | None]) -> list[Node]:
    """Neighbouring texts as one, since that is what a browser makes of them."""
    found: list[Node] = []
    for child in children:
        if isinstance(child, str) and found and isinstance(found[-1], str):
            found[-1] += child
        elif child:
            found.append(child)
    return found


def html(node: Node) -> str:
    """HTML in which every text and value is escaped."""
    if isinstance(node, str):
        return escape(node)
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in node.attributes.items())
    return f"<{node.tag}{attributes}>{''.join(map(html, node.children))}</{node.tag}>"
