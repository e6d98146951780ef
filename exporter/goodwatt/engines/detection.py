"""Which engine wrote a page, or why none can be told, in words for the operator."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from goodwatt.engines.profile import NameCondition, Profile, SwitchedOff
from goodwatt.model.source import Reason

_COMMON = ("python_", "process_", "http_", "go_", "promhttp_")  # any program's; they tell nothing
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Detection:
    """Either the profile's name, or a reason and an explanation for the operator."""

    engine: str | None = None
    reason: Reason | None = None
    because: str = ""


def detect_engine(profiles: Mapping[str, Profile], names: Iterable[str]) -> Detection:
    """Recognise the page by its metric names among `profiles`: all of them, or the one the operator named.

    `names` may hold `name{label}` too, for patterns that ask for a label. A page that matches a profile's refusal, or
    that of a proxy which nobody named, is refused whatever else it matches.
    """
    seen = frozenset(names)
    because = _refusal(profiles, seen)
    if because is not None:
        return Detection(None, Reason.UNKNOWN_ENGINE, because)
    found = next((one.name for one in profiles.values() if condition_matches(one.detect, seen)), None)
    return Detection(found) if found is not None else _unrecognised(profiles, seen)


def _refusal(profiles: Mapping[str, Profile], names: frozenset[str]) -> str | None:
    for one in profiles.values():
        if one.named_only is not None and len(profiles) > 1 and condition_matches(one.detect, names):
            return f"{one.named_only}, or engine: {one.name} to read this page instead"
    refusals = (refusal for one in profiles.values() for refusal in one.refuse)
    return next((refusal.because for refusal in refusals if condition_matches(refusal.when, names)), None)


def detect_by_status(profiles: Mapping[str, Profile], status: int, body: str) -> Detection | None:
    """What an HTTP error says about metrics that are switched off.

    METRICS_OFF when it is certain: the body proves it, or the operator named the engine. Otherwise HTTP_ERROR with a
    hint for an engine that answers so, or None when the status means nothing special.
    """
    hints = [(one, off) for one in profiles.values() for off in one.switched_off if off.status == status]
    for one, off in hints:
        proven = off.body_contains is not None and off.body_contains in body
        if proven or (off.body_contains is None and len(profiles) == 1):
            return Detection(None, Reason.METRICS_OFF, f"{one.title}'s metrics are switched off; {off.advice}")
    guesses = [f"if this is {one.title}, {off.advice}" for one, off in hints if _may_be_guessed(one, off)]
    return Detection(None, Reason.HTTP_ERROR, "; ".join(guesses)) if guesses else None


def _may_be_guessed(profile: Profile, off: SwitchedOff) -> bool:
    return profile.named_only is None and off.body_contains is None


def condition_matches(condition: NameCondition, names: frozenset[str]) -> bool:
    """Whether a page with these metric names satisfies the condition."""
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
                because = f"the page has no {one.title} metrics, only such as {_some(names)}; {doubt}{off.advice}"
                return Detection(None, Reason.METRICS_OFF, because)
    wanted = " or ".join(one.title for one in profiles.values())
    what = f"none of {wanted}" if len(profiles) <= _SHOWN else "of no engine that `goodwatt engines` lists"
    because = f"the page is {what}; it has metrics such as {_some(names)}; check url and engine"
    return Detection(None, Reason.UNKNOWN_ENGINE, because)


def _some(names: frozenset[str]) -> str:
    bare = {name for name in names if "{" not in name}
    telling = sorted(name for name in bare if not name.startswith(_COMMON)) or sorted(bare)
    return ", ".join(name[:60] for name in telling[:_SHOWN])
