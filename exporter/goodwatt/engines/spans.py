"""Converts an engine's span into a request record, as its profile describes."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from goodwatt.engines.profile import ByAttribute, Profile, SpanFields
from goodwatt.model.engine import Outcome
from goodwatt.model.request import RequestRecord

AttributeValue = str | int | float

NANOSECONDS_PER_SECOND = 1_000_000_000
MAX_MODEL_NAME_CHARACTERS = 256
_MOST_TOKENS = 1 << 53  # above it a float cannot represent every integer
_LONGEST_SECONDS = 365 * 86400.0
_LARGEST = 1e18  # for a time in any unit


@dataclass(frozen=True, slots=True)
class SpanRule:
    """How one profile reads its request span. Only the attributes in `attribute_names` are used."""

    spans: SpanFields
    attribute_names: frozenset[str]

    def is_request(self, attributes: Mapping[str, AttributeValue]) -> bool:
        """False for a span with this name that is not a request, such as a health check."""
        for name, patterns in self.spans.unless.items():
            if name in attributes and _one_of(str(attributes[name]), patterns):
                return False
        return True

    def record(self, server: str, start_ns: int, attributes: Mapping[str, AttributeValue]) -> RequestRecord | None:
        """The request record; None if the duration or start is missing or out of range."""
        spans = self.spans
        e2e = self._seconds(spans.e2e_seconds, attributes)
        if e2e is None or start_ns <= 0:
            return None
        generated = _tokens(spans.generated_tokens, attributes)
        ttft = None if generated == 0 else self._seconds(spans.ttft_seconds, attributes)
        decode = self._seconds(spans.decode_seconds, attributes)
        if decode is None and ttft is not None:
            decode = max(e2e - ttft, 0.0)
        return RequestRecord(
            server=server,
            model=_model(spans.model, attributes),
            arrival_unix_seconds=start_ns / NANOSECONDS_PER_SECOND,
            e2e_seconds=e2e,
            outcome=_outcome(spans.outcome, attributes),
            ttft_seconds=ttft,
            tpot_seconds=None if decode is None or generated is None or generated < 2 else decode / (generated - 1),
            prompt_tokens=_tokens(spans.prompt_tokens, attributes),
            cached_prompt_tokens=_tokens(spans.cached_prompt_tokens, attributes),
            generated_tokens=generated,
        )

    def _seconds(self, names: Iterable[str], attributes: Mapping[str, AttributeValue]) -> float | None:
        value = _first(names, attributes)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            return None
        seconds = value * self.spans.scale
        return float(seconds) if seconds <= _LONGEST_SECONDS else None


def span_rules(profiles: Iterable[Profile]) -> Callable[[str], SpanRule | None]:
    """A lookup from span name to rule, None if no profile matches. Earlier profiles win."""
    exact: dict[str, SpanRule] = {}
    beginnings: dict[str, SpanRule] = {}
    for profile in profiles:
        if profile.spans is not None:
            rule = SpanRule(profile.spans, _attribute_names(profile.spans))
            for name in profile.spans.names:
                (beginnings if name.endswith("*") else exact).setdefault(name.removesuffix("*"), rule)

    def rule_of(name: str) -> SpanRule | None:
        found = exact.get(name)
        return found or next((rule for beginning, rule in beginnings.items() if name.startswith(beginning)), None)

    return rule_of


def _attribute_names(spans: SpanFields) -> frozenset[str]:
    names = [*spans.e2e_seconds, *spans.ttft_seconds, *spans.decode_seconds, *spans.model, *spans.unless]
    names += [*spans.prompt_tokens, *spans.cached_prompt_tokens, *spans.generated_tokens]
    names += [spans.outcome.attribute] if isinstance(spans.outcome, ByAttribute) else []
    return frozenset(names)


def _first(names: Iterable[str], attributes: Mapping[str, AttributeValue]) -> AttributeValue | None:
    for name in names:  # hot path: a generator takes twice as long
        if name in attributes:
            return attributes[name]
    return None


def _tokens(names: Iterable[str], attributes: Mapping[str, AttributeValue]) -> int | None:
    value = _first(names, attributes)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _model(names: Iterable[str], attributes: Mapping[str, AttributeValue]) -> str:
    value = _first(names, attributes)
    return value if isinstance(value, str) and len(value) <= MAX_MODEL_NAME_CHARACTERS else ""


def _outcome(mapping: Outcome | ByAttribute, attributes: Mapping[str, AttributeValue]) -> Outcome:
    if isinstance(mapping, Outcome):
        return mapping
    value = attributes.get(mapping.attribute)
    return mapping.absent if value is None else mapping.values.get(_word(value), mapping.otherwise)


def _word(value: AttributeValue) -> str:
    """The value as text; for a list encoded as JSON, its first item."""
    text = str(value)
    if not text.startswith("["):
        return text
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return str(listed[0]) if listed else ""


def _one_of(text: str, patterns: Iterable[str]) -> bool:
    return any(text.startswith(one[:-1]) if one.endswith("*") else text == one for one in patterns)
