"""The sections' shape, read from their classes: which keys exist where. Messages and the reference are made from it."""

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from goodwatt.config.yaml.document import KeyPath
from goodwatt.engines.profile import Profile
from goodwatt.settings.section import Section


def section_type(annotation: Any) -> type[Section] | None:
    """The section that a field's annotation holds, alone, optional or in a tuple; None for a plain value."""
    if get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        return next((found for found in map(section_type, get_args(annotation)) if found is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def is_list(annotation: Any) -> bool:
    """Whether the YAML of this annotation is (or may be) a list."""
    origin = get_origin(annotation)
    return origin is tuple or (origin in (Union, types.UnionType) and any(map(is_list, get_args(annotation))))


def sections(root: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Every section with its path, such as `servers[].tls`, the root ("") first. Engine profiles are left out:

    docs/engines.md describes them.
    """
    yield path, root
    for name, known in root.model_fields.items():
        section = section_type(known.annotation)
        if section is not None and not issubclass(section, Profile):
            inner = f"{path}.{name}" if path else name
            yield from sections(section, inner + "[]" if is_list(known.annotation) else inner)


def section_at(root: type[Section], path: KeyPath) -> type[Section] | None:
    """The section whose mapping stands at `path`; None where no section is."""
    annotation: Any = root
    for key in path:
        annotation = _inner(annotation, key)
    return section_type(annotation)


def display_path(root: type[Section], path: KeyPath) -> str:
    """`path` as people write it, such as `servers[1].url`. It ends before the first key that no section knows:

    such a key may be a secret that slipped out of its place.
    """
    shown = ""
    annotation: Any = root
    for key in path:
        annotation = _inner(annotation, key)
        if isinstance(key, int):
            shown += f"[{key}]"
        elif annotation is None:
            break
        else:
            shown += f".{key}" if shown else key
    return shown


def _inner(annotation: Any, key: str | int) -> Any:
    """What stands under `key`; None where nothing is known. A list where none should be is looked through."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return next((found for one in arguments if (found := _inner(one, key)) is not None), None)
    if origin is Annotated or (origin is tuple and isinstance(key, str)):
        return _inner(arguments[0], key)
    if isinstance(key, int):
        return arguments[0] if origin is tuple else annotation
    if origin is Mapping or origin is dict:
        return arguments[1] if key in _words(arguments[0]) else None
    known = annotation.model_fields.get(key) if section_type(annotation) is annotation is not None else None
    return known.annotation if known is not None else None


def _words(annotation: Any) -> frozenset[str]:
    """The keys of a mapping where they are a closed vocabulary."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return frozenset(kind) if isinstance(kind, type) and issubclass(kind, Enum) else frozenset()
