"""Parses YAML into plain values with their line numbers. Numbers, booleans and null follow YAML 1.2."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from yaml.composer import Composer
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from goodwatt.config.yaml.syntax import syntax_message

MAX_DEPTH = 24
MAX_VALUES = 20_000
MAX_NUMBER_CHARACTERS = 40

KeyPath = tuple[str | int, ...]
YamlValue = Any  # dict, list, str, int, float, bool or None

_TAG = "tag:yaml.org,2002:"
_SHAPES = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    ),
}
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake at `path`. `line` starts at 1; None means the whole file. The message contains no value."""

    path: KeyPath
    line: int | None
    message: str


class UnreadableDocument(Exception):
    """The text cannot be parsed; nothing after `mistake` is known."""

    def __init__(self, line: int | None, message: str) -> None:
        super().__init__(message)
        self.mistake = Mistake((), line, message)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `lines` has every value's path; a value at a path in `mistakes` is None."""

    value: YamlValue
    lines: Mapping[KeyPath, int]
    mistakes: tuple[Mistake, ...]

    def line(self, path: KeyPath) -> int | None:
        """Return the line of `path`, or of the nearest value that contains it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_yaml(text: str) -> Document:
    """Parse any text. Raises only UnreadableDocument. An empty text has the value None."""
    root = _root(text)
    plain = _Plain()
    value = None if root is None else plain.value((), root, root.start_mark.line + 1)
    return Document(value, plain.lines, tuple(plain.mistakes))


def _root(text: str) -> Node | None:
    try:
        tree = _Tree(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"contains the character U+{error.character:04X}, which YAML does not allow; remove it"
        raise UnreadableDocument(line, message) from None
    try:
        return tree.get_single_node()
    except MarkedYAMLError as error:
        raise UnreadableDocument(*syntax_message(error)) from None
    except (ValueError, OverflowError):  # PyYAML does not catch numbers out of range
        raise UnreadableDocument(tree.line + 1, "an escape or directive has an invalid number; remove it") from None


class _Tree(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes YAML nodes under limits on depth and size, enforced before any value is built from them."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._nodes += 1
        self._depth += 1
        line: int = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        _within_limits(self._depth, self._nodes, line)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        if kind is not ScalarNode:
            return _TAG + ("map" if kind is MappingNode else "seq")
        return plain_tag(value) if implicit[0] else f"{_TAG}str"


def plain_tag(text: str) -> str:
    """Return the YAML 1.2 tag of `text` written without quotes."""
    return _TAG + next((name for name, shape in _SHAPES.items() if shape.fullmatch(text)), "str")


def _within_limits(depth: int, values: int, line: int) -> None:
    if depth > MAX_DEPTH:
        raise UnreadableDocument(
            line, f"values are nested more than {MAX_DEPTH} deep; is an alias part of its own anchor?"
        )
    if values > MAX_VALUES:
        raise UnreadableDocument(
            line, f"contains more than {MAX_VALUES} values, counting each use of an alias; make it smaller"
        )


@dataclass(slots=True)
class _Plain:
    """Converts nodes to plain values and records lines and mistakes."""

    merging: int = 0  # depth of nested merges, which paths do not show
    values: int = 0
    lines: dict[KeyPath, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def value(self, path: KeyPath, node: Node, line: int) -> YamlValue:
        self._count(path, line)
        self.lines[path] = line
        match node:
            case MappingNode(tag=tag) if tag == f"{_TAG}map":
                return self._mapping(path, node)
            case SequenceNode(tag=tag) if tag == f"{_TAG}seq":
                return [self.value((*path, at), item, _line(item)) for at, item in enumerate(node.value)]
            case ScalarNode():
                self.lines[path] = _line(node)
                return self._scalar(path, node)
        return self._reject(path, line, _NO_TAG)

    def _count(self, path: KeyPath, line: int) -> None:
        self.values += 1
        _within_limits(len(path) + self.merging + 1, self.values, line)

    def _reject(self, path: KeyPath, line: int, message: str) -> None:
        self.mistakes.append(Mistake(path, line, message))

    def _mapping(self, path: KeyPath, node: MappingNode) -> dict[str, YamlValue]:
        entries: dict[str, YamlValue] = {}
        for key, item in node.value:
            line = _line(key)
            if _is_merge(key):
                continue
            if not isinstance(key, ScalarNode) or key.tag != f"{_TAG}str" or _SURROGATE.search(key.value):
                self._reject(path, line, "a key must be text; put it in quotes")
            elif key.value in entries:
                first = self.lines[(*path, key.value)]
                self._reject((*path, key.value), line, f"duplicate key, first on line {first}; remove one")
            else:
                entries[key.value] = self.value((*path, key.value), item, line)
        for key, item in node.value:
            if _is_merge(key):
                self._merge(path, item, entries, _line(key))
        return entries

    def _merge(self, path: KeyPath, item: Node, entries: dict[str, YamlValue], line: int) -> None:
        for source in item.value if isinstance(item, SequenceNode) else [item]:
            if isinstance(source, MappingNode):
                self._add_missing(path, source, entries, line)
            else:
                self._reject(path, line, "<< must be followed by an alias of a mapping, like *name")

    def _add_missing(self, path: KeyPath, source: MappingNode, entries: dict[str, YamlValue], line: int) -> None:
        aside = _Plain(self.merging + 1, self.values)
        aside._count(path, line)
        for name, value in aside._mapping(path, source).items():
            entries.setdefault(name, value)
        self.values = aside.values
        self.mistakes.extend(aside.mistakes)
        self.lines = {**aside.lines, **self.lines}

    def _scalar(self, path: KeyPath, node: ScalarNode) -> YamlValue:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        message = _scalar_message(kind, text)
        return _SCALARS[kind](text) if message is None else self._reject(path, _line(node), message)


def _scalar_message(kind: str, text: str) -> str | None:
    if kind not in _SCALARS:
        return _NO_TAG
    if kind != "str" and not _SHAPES[kind].fullmatch(text):
        return "does not fit its YAML tag (!!...); remove the tag"
    if kind in ("int", "float"):
        return _number_message(kind, text)
    return "contains an escape for half of a surrogate pair; remove it" if _SURROGATE.search(text) else None


def _number_message(kind: str, text: str) -> str | None:
    if len(text) > MAX_NUMBER_CHARACTERS:
        return f"is a number of more than {MAX_NUMBER_CHARACTERS} characters; shorten it"
    return None if math.isfinite(_SCALARS[kind](text)) else "must be a finite number"


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


_NO_TAG = "has a YAML tag (!...) that is not used here; remove the tag"
_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _integer,
    "float": lambda text: float(re.sub(r"\.(?=[inIN])", "", text)),
    "str": str,
}


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.style is None
