"""Profiles that are like a shipped one: a fork of an engine, or its metrics under another prefix."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

_OWN_KEYS = ("name", "title", "like", "prefix")


def expand(own: Mapping[str, Any], shipped: Callable[[str], Mapping[str, Any]]) -> dict[str, Any]:
    """Return the profile that `own` is like, with every metric under its `prefix` and its other keys replaced.

    `shipped` returns a shipped profile's keys and raises FileNotFoundError for an unknown name. Raises ValueError with
    a message for the operator.
    """
    like, prefix = own.get("like"), own.get("prefix")
    if like is None:
        if prefix is not None:
            raise ValueError("prefix needs like: the name of a shipped profile")
        return dict(own)
    try:
        base = shipped(like) if isinstance(like, str) else None
    except FileNotFoundError:
        base = None
    if base is None:
        raise ValueError(f"like: {like!r} is not a shipped profile; `goodwatt engines` lists them")
    inherited = {key: value for key, value in base.items() if key not in _OWN_KEYS}
    renamed = inherited if prefix is None else _renamed(inherited, _prefix_of(base), _with_separator(str(prefix)))
    return {**renamed, **own}


def _with_separator(prefix: str) -> str:
    return prefix if prefix.endswith((":", "_")) else f"{prefix}:"


def _prefix_of(base: Mapping[str, Any]) -> str:
    """The prefix that all of an engine's own metrics have, as its detection names it."""
    patterns: Iterator[str] = (pattern for which in ("any_of", "all_of") for pattern in base["detect"].get(which, ()))
    found = next((pattern[:-1] for pattern in patterns if pattern.endswith("*")), None)
    if found is None:
        raise ValueError(f"like: the metrics of {base['name']} have no common prefix; leave prefix out")
    return found


def _renamed(value: Any, old: str, new: str) -> Any:
    """Replace the prefix wherever a text begins with it; only metric names do."""
    if isinstance(value, str):
        return new + value.removeprefix(old) if value.startswith(old) else value
    if isinstance(value, Mapping):
        return {_renamed(key, old, new): _renamed(inner, old, new) for key, inner in value.items()}
    return [_renamed(inner, old, new) for inner in value] if isinstance(value, list) else value
