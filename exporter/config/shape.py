"""The sections' shape, read from their classes: which keys exist where. Messages and the reference are made from it."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from exporter.config.document import Path
from exporter.schema import Section


def member(annotation: Any) -> type[Section] | None:
    """The section that a field's annotation holds, alone, optional or in a tuple; None for a plain value."""
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return next((found for found in map(member, get_args(annotation)) if found is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def is_list(annotation: Any) -> bool:
    """Whether the YAML of this annotation is (or may be) a list."""
    origin = get_origin(annotation)
    return origin is tuple or (origin in (Union, types.UnionType) and any(map(is_list, get_args(annotation))))


def sections(root: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Every section with its path, such as `servers[].tls`, the root ("") first."""
    yield path, root
    for name, known in root.model_fields.items():
        section = member(known.annotation)
        if section is not None:
            inner = f"{path}.{name}" if path else name
            yield from sections(section, inner + "[]" if is_list(known.annotation) else inner)


def section_at(root: type[Section], path: Path) -> type[Section] | None:
    """The section whose mapping stands at `path`; None where no section is."""
    section: type[Section] | None = root
    for key in path:
        if isinstance(key, int):
            continue
        known = section.model_fields.get(key) if section is not None else None
        section = member(known.annotation) if known is not None else None
    return section


def dotted(root: type[Section], path: Path) -> str:
    """`path` as people write it, such as `servers[1].url`. It ends before the first key that no section knows:

    such a key may be a secret that slipped out of its place.
    """
    shown = ""
    section: type[Section] | None = root
    for key in path:
        if isinstance(key, int):
            shown += f"[{key}]"
            continue
        known = section.model_fields.get(key) if section is not None else None
        if known is None:
            break
        shown += f".{key}" if shown else key
        section = member(known.annotation)
    return shown
