"""Which keys exist where, read from the section classes; used by error messages and the generated reference."""

import types
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

from goodwatt.config.yaml.document import KeyPath
from goodwatt.engines.profile import Profile
from goodwatt.settings.section import Section


def section_type(annotation: Any) -> type[Section] | None:
    """Return the section class in a field's annotation, alone, optional or in a tuple; None for a plain value."""
    if get_origin(annotation) in (Union, types.UnionType, tuple, Annotated):
        return next((found for found in map(section_type, get_args(annotation)) if found is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def is_list(annotation: Any) -> bool:
    """Whether the YAML value for this annotation may be a list."""
    origin = get_origin(annotation)
    return origin is tuple or (origin in (Union, types.UnionType) and any(map(is_list, get_args(annotation))))


def sections(root: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield every section with its path, such as `servers[].tls`, the root ("") first.

    Engine profiles are left out; docs/engines.md describes them.
    """
    yield path, root
    for name, known in root.model_fields.items():
        section = section_type(known.annotation)
        if section is not None and not issubclass(section, Profile):
            inner = f"{path}.{name}" if path else name
            yield from sections(section, inner + "[]" if is_list(known.annotation) else inner)


def section_at(root: type[Section], path: KeyPath) -> type[Section] | None:
    """Return the section whose mapping is at `path`; None if there is none."""
    annotation: Any = root
    for key in path:
        annotation = _inner(annotation, key)
    return section_type(annotation)


def display_path(root: type[Section], path: KeyPath) -> str:
    """Format `path` like `servers[1].url`.

    Stops before the first key that no section knows, because such a key may be a misplaced secret.
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
    """Return the annotation under `key`; None if unknown. Sees through an unexpected list to its items."""
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
    """Return the keys of a mapping if they are a closed vocabulary, else nothing."""
    kind = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return frozenset(kind) if isinstance(kind, type) and issubclass(kind, Enum) else frozenset()
