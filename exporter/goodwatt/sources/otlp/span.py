"""What both encodings of OTLP give: spans one by one, whose attributes are read only where they are asked for."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from goodwatt.engines.spans import AttributeValue
from goodwatt.settings.sources import LONGEST_SERVICE_NAME

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
_NO_TRACE, _NO_SPAN = bytes(TRACE_ID_BYTES), bytes(SPAN_ID_BYTES)


class MalformedOtlp(Exception):
    """This is no OTLP, or this span is none; the message is one line without anything of its content."""


@dataclass(frozen=True, slots=True)
class SpanService:
    """Who sent a span, as the sender calls itself; empty where it does not say."""

    name: str = ""
    instance: str = ""


class Span(Protocol):
    """One span, as it came. Reading any of it raises Malformed where it is none."""

    service: SpanService

    @property
    def name(self) -> str:
        """What happened."""
        ...

    @property
    def key(self) -> bytes:
        """Trace id and span id; empty where one of them is no id."""
        ...

    @property
    def start_ns(self) -> int:
        """Unix time in nanoseconds."""
        ...

    @property
    def end_ns(self) -> int:
        """Unix time in nanoseconds."""
        ...

    def attributes(self, wanted: Collection[str]) -> dict[str, AttributeValue]:
        """Of these attributes those that it has; of one with several values the first."""
        ...


def span_key(trace_id: bytes, span_id: bytes) -> bytes:
    """One key of the two, empty where one of them is no id."""
    good = len(trace_id) == TRACE_ID_BYTES and len(span_id) == SPAN_ID_BYTES
    return trace_id + span_id if good and trace_id != _NO_TRACE and span_id != _NO_SPAN else b""


def service_of(resource: dict[str, AttributeValue]) -> SpanService:
    """The service that a resource's attributes name."""
    name, instance = (str(resource.get(f"service.{key}", ""))[:LONGEST_SERVICE_NAME] for key in ("name", "instance.id"))
    return SpanService(name, instance)


SERVICE_ATTRIBUTES = frozenset({"service.name", "service.instance.id"})
