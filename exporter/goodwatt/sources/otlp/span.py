"""The span interface both OTLP encodings implement. Attributes are decoded on demand only."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from goodwatt.engines.spans import AttributeValue
from goodwatt.settings.sources import LONGEST_SERVICE_NAME

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
_NO_TRACE, _NO_SPAN = bytes(TRACE_ID_BYTES), bytes(SPAN_ID_BYTES)


class MalformedOtlp(Exception):
    """The body or one span is not valid OTLP. The message is one line and quotes nothing from the body."""


@dataclass(frozen=True, slots=True)
class SpanService:
    """service.name and service.instance.id of the sender; empty where missing."""

    name: str = ""
    instance: str = ""


class Span(Protocol):
    """One received span. Any access may raise MalformedOtlp."""

    service: SpanService

    @property
    def name(self) -> str:
        """The span's name; selects the profile that describes it."""
        ...

    @property
    def key(self) -> bytes:
        """Trace id plus span id; empty if either is invalid."""
        ...

    @property
    def start_ns(self) -> int:
        """Start, Unix time in nanoseconds."""
        ...

    @property
    def end_ns(self) -> int:
        """End, Unix time in nanoseconds."""
        ...

    def attributes(self, names: Collection[str]) -> dict[str, AttributeValue]:
        """The requested attributes that are present; for an array, its first value."""
        ...


def span_key(trace_id: bytes, span_id: bytes) -> bytes:
    """Trace id plus span id as one key; empty if either is all zeros or has the wrong length."""
    good = len(trace_id) == TRACE_ID_BYTES and len(span_id) == SPAN_ID_BYTES
    return trace_id + span_id if good and trace_id != _NO_TRACE and span_id != _NO_SPAN else b""


def service_of(resource: dict[str, AttributeValue]) -> SpanService:
    """The service named by a resource's attributes, each name cut to LONGEST_SERVICE_NAME."""
    name, instance = (str(resource.get(f"service.{key}", ""))[:LONGEST_SERVICE_NAME] for key in ("name", "instance.id"))
    return SpanService(name, instance)


SERVICE_ATTRIBUTES = frozenset({"service.name", "service.instance.id"})
