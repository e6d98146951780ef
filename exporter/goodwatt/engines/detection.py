"""Detects which engine wrote a page, or explains to the operator why none was recognised."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from goodwatt.engines.profile import NameCondition, Profile, SwitchedOff
from goodwatt.model.source import Reason

_COMMON = ("python_", "process_", "http_", "go_", "promhttp_")  # metrics of any program, useless for detection
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Detection:
    """Either the profile's name, or a reason and one line for the operator."""

    engine: str | None = None
    reason: Reason | None = None
    because: str = ""


def detect_engine(profiles: Mapping[str, Profile], names: Iterable[str]) -> Detection:
    """Match a page's metric names against `profiles`: all of them, or only the configured one.

    `names` also holds `name{label}` entries, for patterns with a label. A page that matches a `refuse` condition, or a
    `named_only` proxy the operator did not select, is rejected whatever else it matches.
    """
    seen = frozenset(names)
    because = _rejection(profiles, seen)
    if because is not None:
        return Detection(None, Reason.UNKNOWN_ENGINE, because)
    found = next((one.name for one in profiles.values() if condition_matches(one.detect, seen)), None)
    return Detection(found) if found is not None else _unrecognised(profiles, seen)


def _rejection(profiles: Mapping[str, Profile], names: frozenset[str]) -> str | None:
    for one in profiles.values():
        if one.named_only is not None and len(profiles) > 1 and condition_matches(one.detect, names):
            return f"{one.named_only}, or engine: {one.name} to read this page instead"
    refused = (page for one in profiles.values() for page in one.refuse)
    return next((page.because for page in refused if condition_matches(page.when, names)), None)


def detect_by_status(profiles: Mapping[str, Profile], status: int, body: str) -> Detection | None:
    """Whether an HTTP error means that the engine's metrics are disabled.

    METRICS_OFF if the body proves it or the operator named the engine. HTTP_ERROR with a hint if some engine responds
    this way. None if the status has no special meaning.
    """
    hints = [(one, off) for one in profiles.values() for off in one.switched_off if off.status == status]
    for one, off in hints:
        proven = off.body_contains is not None and off.body_contains in body
        if proven or (off.body_contains is None and len(profiles) == 1):
            return Detection(None, Reason.METRICS_OFF, f"{one.title}'s metrics are switched off; {off.advice}")
    guesses = [f"if this is {one.title}, {off.advice}" for one, off in hints if _is_plausible(one, off)]
    return Detection(None, Reason.HTTP_ERROR, "; ".join(guesses)) if guesses else None


def _is_plausible(profile: Profile, off: SwitchedOff) -> bool:
    return profile.named_only is None and off.body_contains is None


def condition_matches(condition: NameCondition, names: frozenset[str]) -> bool:
    """Whether these metric names satisfy the condition's any_of, all_of and none_of."""
    return (
        (not condition.any_of or any(_occurs(pattern, names) for pattern in condition.any_of))
        and all(_occurs(pattern, names) for pattern in condition.all_of)
        and not any(_occurs(pattern, names) for pattern in condition.none_of)
    )


def _occurs(pattern: str, names: frozenset[str]) -> bool:
    if pattern.endswith("*"):
        return any(name.startswith(pattern[:-1]) for name in names)
    return pattern in names


def _unrecognised(profiles: Mapping[str, Profile], names: frozenset[str]) -> Detection:
    for one in profiles.values():
        for off in one.switched_off:
            if off.page is not None and condition_matches(off.page, names):
                doubt = "" if len(profiles) == 1 else f"if this is {one.title}, "
                because = f"the page has no {one.title} metrics, only ones like {_some(names)}; {doubt}{off.advice}"
                return Detection(None, Reason.METRICS_OFF, because)
    titles = " or ".join(one.title for one in profiles.values())
    what = f"not from {titles}" if len(profiles) <= _SHOWN else "not from any engine in `goodwatt engines`"
    because = f"the page is {what}; it has metrics such as {_some(names)}; check url and engine"
    return Detection(None, Reason.UNKNOWN_ENGINE, because)


def _some(names: frozenset[str]) -> str:
    bare = {name for name in names if "{" not in name}
    specific = sorted(name for name in bare if not name.startswith(_COMMON)) or sorted(bare)
    return ", ".join(name[:60] for name in specific[:_SHOWN])
