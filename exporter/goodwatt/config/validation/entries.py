"""Accessors for checks on a file that may be wrong anywhere: list entries, their text values, duplicates."""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator

from goodwatt.config.errors import printable
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue

Check = Callable[[Document], Iterator[Mistake]]

MAX_NAME = 64
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]")


def mapping_under(document: Document, name: str) -> dict[str, YamlValue]:
    """Return the mapping under a top-level key; empty if it is missing or not a mapping."""
    value = document.value.get(name)
    return value if isinstance(value, dict) else {}


def list_entries(document: Document, name: str) -> Iterator[tuple[KeyPath, dict[str, YamlValue]]]:
    """Yield the mappings in a top-level list with their paths; skips other items."""
    listed = document.value.get(name)
    for at, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, dict):
            yield (name, at), item


def text_values(document: Document, name: str, key: str) -> Iterator[tuple[KeyPath, str]]:
    """Yield the text values under `key` in those mappings with their paths."""
    for path, item in list_entries(document, name):
        if isinstance(item.get(key), str):
            yield (*path, key), item[key]


def number_or_none(value: YamlValue) -> float | None:
    """Return `value` if it is a number, else None; true and false are not numbers."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def mistake(document: Document, path: KeyPath, message: str) -> Mistake:
    """Make a mistake at `path`, with the line of that path."""
    return Mistake(path, document.line(path), message)


def repeated(document: Document, keyed: Iterable[tuple[KeyPath, Hashable]], what: str) -> Iterator[Mistake]:
    """Yield a mistake for each duplicate: `same name as servers[0] on line 3; ...`."""
    first: dict[Hashable, KeyPath] = {}
    for path, key in keyed:
        if key in first:
            place = f"{first[key][0]}[{first[key][1]}] on line {document.line(first[key])}"
            yield mistake(document, path, f"same {what} as {place}; each must be different")
        first.setdefault(key, path)


def name_message(name: str) -> str | None:
    """Return why `name` is not a label value that is easy to query; None if it is."""
    if not name:
        return "must not be empty"
    stray = _NOT_IN_NAME.search(name)
    if stray:
        return f"may contain only letters, digits, '.', '_' and '-'; found '{printable(stray[0])}'"
    return f"must be at most {MAX_NAME} characters long; found {len(name)}" if len(name) > MAX_NAME else None


def name_check(name: str) -> Check:
    """Make a check that names in the list `name` are label-safe and unique."""

    def check(document: Document) -> Iterator[Mistake]:
        for path, text in text_values(document, name, "name"):
            message = name_message(text)
            if message:
                yield mistake(document, path, message)
        yield from repeated(document, text_values(document, name, "name"), "name")

    return check
