"""OTLP in protobuf, by the package opentelemetry-proto, which is an extra of goodwatt's."""

from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from goodwatt.engines.spans import AttributeValue
from goodwatt.sources.otlp.span import SERVICE_ATTRIBUTES, MalformedOtlp, SpanService, service_of, span_key

PROTOBUF_PACKAGE = "opentelemetry.proto.collector.trace.v1"
INSTALL = "pip install 'goodwatt[otlp]'"
PROTOBUF_MISSING = f"the package opentelemetry-proto, which reads protobuf, is missing; {INSTALL}"


def protobuf_missing(find: Callable[[str], object] = find_spec) -> bool:
    """Whether protobuf cannot be read here. Nothing is loaded but the packages around it."""
    try:
        return find(PROTOBUF_PACKAGE) is None
    except ModuleNotFoundError:
        return True


class ProtobufCodec:
    """The codec. Raises ImportError where the package is missing."""

    def __init__(self, load: Callable[[str], ModuleType] = import_module) -> None:
        service = load(f"{PROTOBUF_PACKAGE}.trace_service_pb2")
        self._request = service.ExportTraceServiceRequest
        self._response = service.ExportTraceServiceResponse
        self._fault = load("google.protobuf.message").DecodeError

    def spans(self, body: bytes) -> Iterator["ProtobufSpan"]:
        """Every span. Raises Malformed for what is no trace request."""
        try:
            request = self._request.FromString(body)
        except self._fault:
            raise MalformedOtlp("the body is no trace request in protobuf") from None
        for group in request.resource_spans:
            service = service_of(_attributes(group.resource.attributes, SERVICE_ATTRIBUTES))
            for scope in group.scope_spans:
                yield from (ProtobufSpan(service, span) for span in scope.spans)

    def encoded_answer(self, rejected: int, why: str) -> bytes:
        """An ExportTraceServiceResponse."""
        response = self._response()
        if rejected:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = why
        return bytes(response.SerializeToString())


class ProtobufSpan:
    """One message of `spans`."""

    __slots__ = ("_span", "service")

    def __init__(self, service: SpanService, span: Any) -> None:
        self.service = service
        self._span = span

    @property
    def name(self) -> str:
        """What happened."""
        return str(self._span.name)

    @property
    def key(self) -> bytes:
        """Trace id and span id; empty where one of them is no id."""
        return span_key(self._span.trace_id, self._span.span_id)

    @property
    def start_ns(self) -> int:
        """Unix time in nanoseconds."""
        return int(self._span.start_time_unix_nano)

    @property
    def end_ns(self) -> int:
        """Unix time in nanoseconds."""
        return int(self._span.end_time_unix_nano)

    def attributes(self, wanted: Collection[str]) -> dict[str, AttributeValue]:
        """Of these attributes those that it has; of one with several values the first."""
        return _attributes(self._span.attributes, wanted)


def protobuf_status(code: int, message: str) -> bytes:
    """A google.rpc.Status (int32 code = 1, string message = 2), whose class is in a package that nothing else needs.

    `code` and the length of the message are below 128 and 16384.
    """
    text = message.encode()
    length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    return b"\x08" + bytes([code]) + b"\x12" + length + text


_PLAIN = frozenset({"string_value", "double_value", "int_value"})


def _attributes(attributes: Any, wanted: Collection[str]) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for one in attributes:
        key = one.key
        if key in wanted:
            value = _value(one.value)
            if value is not None:
                found[key] = value
    return found


def _value(any_value: Any) -> AttributeValue | None:
    kind = any_value.WhichOneof("value")
    if kind in _PLAIN:
        value: AttributeValue = getattr(any_value, kind)
        return value
    if kind == "array_value" and any_value.array_value.values:
        first = any_value.array_value.values[0]
        return None if first.WhichOneof("value") == "array_value" else _value(first)
    return None
