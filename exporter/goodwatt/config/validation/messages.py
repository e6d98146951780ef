"""Translates pydantic errors for operators: what is wrong, and what to write instead."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from goodwatt.config.errors import printable
from goodwatt.config.validation.shape import section_at, sections
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue
from goodwatt.settings.section import Section

_SHOWN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_UNIT = re.compile(r"_(ms|s|sec|secs|seconds|millis|milliseconds|us|m|min|minutes|h|hours?|percent|pct|ratio)$")
_NUMBER = re.compile(r"\s*([-+]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*(%|[A-Za-z]{0,12})\s*")
_SCALES = {"us": 1e-6, "ms": 1e-3, "m": 60, "min": 60, "h": 3600, "kb": 1000, "kib": 1024, "mb": 10**6, "mib": 2**20}
_TRUTH = {"yes": "true", "on": "true", "y": "true", "true": "true", "no": "false", "off": "false", "n": "false"}
_WANTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "text",
    "path_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of `key: value` lines",
    "model_type": "a mapping of `key: value` lines",
}
_KEY = "[key]"  # pydantic's marker for an error in a mapping's key
_NAMES_OF_METRICS = "must be a metric name, or its beginning followed by *"
_FORMS = {
    r"^[a-z][a-z0-9_]*$": "must start with a lowercase letter and contain only lowercase letters, digits and '_'",
    r"^/[^?#\s]*$": "must start with '/' and contain no '?', '#' or space",
    r"^[a-zA-Z_:][a-zA-Z0-9_:]*$": "must be a metric name: letters, digits, '_' and ':', no leading digit",
    r"^[a-zA-Z_:][a-zA-Z0-9_:]*\*?$": _NAMES_OF_METRICS,
    r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\*|\{[a-zA-Z_][a-zA-Z0-9_]*\})?$": _NAMES_OF_METRICS,
    r"^[^*]+\*?$": "must be a span name, or its beginning followed by *",
    r"^[a-zA-Z_][a-zA-Z0-9_.-]*$": "must be an attribute name: letters, digits, '_', '.' and '-', letter first",
    r"^[a-zA-Z_][a-zA-Z0-9_]*$": "must be a label name: letters, digits and '_', no leading digit",
}
_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def shape_mistakes(error: ValidationError, document: Document, root: type[Section]) -> Iterator[Mistake]:
    """Yield one mistake for each place that pydantic rejected; the errors of a union's members become one."""
    seen: set[KeyPath] = set()
    errors = error.errors(include_url=False, include_input=False)
    items = [(_path(item["loc"], document, item["type"]), item) for item in errors]
    for path, item in items:
        kind = _KEY if item["loc"][-1:] == (_KEY,) else item["type"]
        if path not in seen and not _is_echo(kind, path, document, items):
            seen.add(path)
            yield Mistake(path, document.line(path), _message(kind, item.get("ctx", {}), path, document, root))


def _is_echo(kind: str, path: KeyPath, document: Document, items: Iterable[tuple[KeyPath, object]]) -> bool:
    """Whether other mistakes are more specific: those of a list's items, or those inside a mapping."""
    if kind == "too_short":
        return bool(value_at(document.value, path))
    return kind == "enum" and any(len(other) > len(path) and other[: len(path)] == path for other, _ in items)


def _path(loc: Iterable[str | int], document: Document, kind: str) -> KeyPath:
    """Return pydantic's location without the names of union members and validators, which no file contains."""
    path: KeyPath = ()
    for key in loc:
        path = (*path, key) if (*path, key) in document.lines else path
    return (*path, tuple(loc)[-1]) if kind == "missing" else path


def _message(kind: str, context: Mapping[str, Any], path: KeyPath, document: Document, root: type[Section]) -> str:
    """Handle mistakes in keys first: the value under a wrong key does not matter."""
    if kind == "missing":
        return f"the key '{path[-1]}' is missing; add it" if isinstance(path[-1], str) else "needs one more item"
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), path[:-1], root)
    if kind == _KEY:
        return _unknown_word(str(path[-1]), context)
    if kind == "too_short":
        return "must have at least one item" + ("; remove the key to get its default" if _optional(path, root) else "")
    return _value_message(kind, context, value_at(document.value, path))


def _value_message(kind: str, context: Mapping[str, Any], value: YamlValue) -> str:
    if kind in _WANTED:
        return _wrong_kind(_WANTED[kind], value)
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]:.12g}; found {value:.12g}"
    return _OTHERS.get(kind, _invalid)(context, value)


def value_at(value: YamlValue, path: KeyPath) -> YamlValue:
    """Return the value at `path`, which must be in the document."""
    for key in path:
        value = value[key]
    return value


def _unknown_key(key: str, parent: KeyPath, root: type[Section]) -> str:
    if not _SHOWN_KEY.fullmatch(key):
        return "unknown key; remove it"
    section = section_at(root, parent)
    known = tuple(section.model_fields) if section is not None else ()
    home = _home(key, root)
    if home:
        return f"unknown key '{key}' here; it belongs under '{home}'"
    return f"unknown key '{key}'" + (did_you_mean(key, known) or "; known here: " + ", ".join(known))


def _unknown_word(key: str, context: Mapping[str, Any]) -> str:
    if not _SHOWN_KEY.fullmatch(key) or "expected" not in context:
        return "unknown key; remove it"
    known = _choices(context)
    return f"unknown key '{key}'" + (did_you_mean(key, known) or "; known here: " + ", ".join(known))


def _optional(path: KeyPath, root: type[Section]) -> bool:
    section = section_at(root, path[:-1])
    known = section.model_fields.get(str(path[-1])) if section is not None else None
    return known is not None and not known.is_required()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'interval_seconds'?`, or an empty text if no known word is similar."""
    words = tuple(known)
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower().replace("-", "_")
    stem = _UNIT.sub("", plain)
    near = [name for name in words if name in (plain, plain + "s")]
    near = near or [name for name in words if name.startswith(stem + "_")]
    near = near or difflib.get_close_matches(plain, words, 1, 0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def _home(key: str, root: type[Section]) -> str | None:
    return next((path for path, section in sections(root) if path and key in section.model_fields), None)


def _wrong_kind(wanted: str, value: YamlValue) -> str:
    advice = _REPAIRS.get(wanted, lambda _: None)(value)
    return f"must be {wanted}, not {kind_of(value)}" + (f"; {advice}" if advice else "")


def kind_of(value: YamlValue) -> str:
    """Name the type of a value; never the value itself, which may be a misplaced secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "a mapping"


def _number_repair(value: YamlValue) -> str | None:
    parts = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    if parts is None:
        return None
    number = float(parts[1].replace("_", ""))
    scale = 0.01 if parts[2] == "%" else _SCALES.get(parts[2].lower())
    if scale is not None:
        return f"write {number * scale:.12g} for {number:.12g} {parts[2]}"
    return f"write {number:.12g}, without quotes or unit"


def _text_repair(value: YamlValue) -> str | None:
    return "put it in quotes" if isinstance(value, bool | int | float) else None


def _truth_repair(value: YamlValue) -> str | None:
    word = _TRUTH.get(value.lower()) if isinstance(value, str) else None
    return f"write {word}, without quotes" if word else None


def _list_repair(value: YamlValue) -> str | None:
    if isinstance(value, dict):
        return "begin each item with '- '"
    return "put it in [ ]"


def _mapping_repair(value: YamlValue) -> str | None:
    return "remove the '- ' before its keys" if isinstance(value, list) else None


_REPAIRS: Mapping[str, Callable[[YamlValue], str | None]] = {
    "a number": _number_repair,
    "a whole number": _number_repair,
    "text": _text_repair,
    "true or false": _truth_repair,
    "a list": _list_repair,
    "a mapping of `key: value` lines": _mapping_repair,
}


def _not_a_choice(context: Mapping[str, Any], value: YamlValue) -> str:
    choices = _choices(context)
    known = f"must be one of {', '.join(choices)}"
    if not isinstance(value, str):
        return f"{known}; found {kind_of(value)}"
    return f"{known}; found '{printable(value, 40)}'" + did_you_mean(value, choices)


def _choices(context: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", str(context["expected"]))


def _wrong_form(context: Mapping[str, Any], _value: YamlValue) -> str:
    return _FORMS.get(context["pattern"], f"must have the form {context['pattern']}")


def _invalid(_context: Mapping[str, Any], _value: YamlValue) -> str:
    return "is not valid here; see docs/configuration.md"


_OTHERS: Mapping[str, Callable[[Mapping[str, Any], YamlValue], str]] = {
    "literal_error": _not_a_choice,
    "enum": _not_a_choice,
    "string_pattern_mismatch": _wrong_form,
    "value_error": lambda context, _value: str(context["error"]),  # a profile's validator; contains no value
    "string_too_short": lambda _context, _value: "must not be empty",
    "string_too_long": lambda context, _value: f"must be at most {context['max_length']} characters long",
}
