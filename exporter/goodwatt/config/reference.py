"""Generates docs/configuration.md from the section classes."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from goodwatt.config.config import DEFAULT_SLO_SECTIONS, Config
from goodwatt.config.validation.shape import is_list, section_type, sections
from goodwatt.engines.profile import Profile
from goodwatt.settings.section import Section

_WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path of a file"}
_LIMITS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}

_INTRODUCTION = """\
# Configuration

<!-- Generated from the section classes by `make docs`. Do not edit. -->

One YAML file, given by `--config FILE`. Every key is optional; without a file, or with an empty one, goodwatt reads the
GPUs of this machine and discovers inference servers on well-known local ports. `goodwatt check --config FILE` reports
every mistake at once as `file:line: path: message`, and warns about settings that are valid but probably not intended.

* A key with a quantity names its unit: `interval_seconds`, `price_per_kwh`. An unknown key is an error.
* Types are those of YAML 1.2: `yes` is text, `"5"` is text, `5` is a number.
* Anchors, aliases and `<<` merges work. The file is UTF-8 and at most 1 MiB.
* A key without a value is an error: remove the key, or give it a value.
* Files that it names (tokens, passwords, certificates) are read when needed and may change at any time.
* Header values and URL queries are never shown, neither in messages nor on `/config`. A URL with a user name or
  password is rejected.

`deploy/goodwatt.yaml` is a commented example with every key.
"""


def configuration_reference() -> str:
    """Return docs/configuration.md: an introduction and one table for each section."""
    parts = [_table(path, section) for path, section in sections(Config)]
    return "\n".join([_INTRODUCTION, *parts])


def _table(path: str, section: type[Section]) -> str:
    title = f"## `{path}`" if path else "## Top level"
    rows = "".join(_row(name, known, path) for name, known in section.model_fields.items())
    return f"{title}\n\n{section.__doc__}\n\n| key | type | default | meaning |\n|---|---|---|---|\n{rows}"


def _row(name: str, known: FieldInfo, path: str) -> str:
    cells = (f"`{name}`", _kind(name, known, path), _default(known), str(known.description))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _kind(name: str, known: FieldInfo, path: str) -> str:
    section = section_type(known.annotation)
    if section is not None and issubclass(section, Profile):
        return "list of engine profiles"
    if section is not None:
        inner = f"{path}.{name}" if path else name
        return f"list of `{inner}[]`" if is_list(known.annotation) else f"mapping `{inner}`"
    return ", ".join([_words(known.annotation), *_limits(known)])


def _limits(known: FieldInfo) -> Iterator[str]:
    for rule in known.metadata:
        for key, words in _LIMITS.items():
            if hasattr(rule, key):
                yield f"{words} {getattr(rule, key):.12g}"


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(one) for one in arguments if one is not types.NoneType)
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    return _WORDS[annotation]


def _default(known: FieldInfo) -> str:
    if known.is_required():
        return "required"
    value = known.get_default(call_default_factory=True)
    if value in (None, {}, DEFAULT_SLO_SECTIONS) or isinstance(value, Section):
        return "absent"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
