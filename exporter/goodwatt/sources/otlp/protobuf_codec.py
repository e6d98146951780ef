"""OTLP/protobuf through the package opentelemetry-proto, which the extra `otlp` installs."""

from collections.abc import Callable, Collection, Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from goodwatt.engines.spans import AttributeValue
from goodwatt.sources.otlp.span import SERVICE_ATTRIBUTES, MalformedOtlp, SpanService, service_of, span_key

PROTOBUF_PACKAGE = "opentelemetry.proto.collector.trace.v1"
INSTALL = "pip install 'goodwatt[otlp]'"
PROTOBUF_MISSING = f"reading protobuf needs the package opentelemetry-proto; {INSTALL}"


def protobuf_missing(find: Callable[[str], object] = find_spec) -> bool:
    """Whether opentelemetry-proto is not installed. Imports only its parent packages."""
    try:
        return find(PROTOBUF_PACKAGE) is None
    except ModuleNotFoundError:
        return True


class ProtobufCodec:
    """Decodes and encodes OTLP/protobuf. Raises ImportError if opentelemetry-proto is not installed."""

    def __init__(self, load: Callable[[str], ModuleType] = import_module) -> None:
        service = load(f"{PROTOBUF_PACKAGE}.trace_service_pb2")
        self._request = service.ExportTraceServiceRequest
        self._response = service.ExportTraceServiceResponse
        self._decode_error = load("google.protobuf.message").DecodeError

    def spans(self, body: bytes) -> Iterator["ProtobufSpan"]:
        """Yield every span. Raises MalformedOtlp if the body is not a trace request."""
        try:
            request = self._request.FromString(body)
        except self._decode_error:
            raise MalformedOtlp("the body is not a protobuf trace request") from None
        for group in request.resource_spans:
            service = service_of(_attributes(group.resource.attributes, SERVICE_ATTRIBUTES))
            for scope in group.scope_spans:
                yield from (ProtobufSpan(service, span) for span in scope.spans)

    def encoded_response(self, rejected: int, why: str) -> bytes:
        """An ExportTraceServiceResponse; with `rejected` above 0, a partial success."""
        response = self._response()
        if rejected:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = why
        return bytes(response.SerializeToString())


class ProtobufSpan:
    """One message of `spans`, converted on access."""

    __slots__ = ("_span", "service")

    def __init__(self, service: SpanService, span: Any) -> None:
        self.service = service
        self._span = span

    @property
    def name(self) -> str:
        """The span's name; selects the profile that describes it."""
        return str(self._span.name)

    @property
    def key(self) -> bytes:
        """Trace id plus span id; empty if either is invalid."""
        return span_key(self._span.trace_id, self._span.span_id)

    @property
    def start_ns(self) -> int:
        """Start, Unix time in nanoseconds."""
        return int(self._span.start_time_unix_nano)

    @property
    def end_ns(self) -> int:
        """End, Unix time in nanoseconds."""
        return int(self._span.end_time_unix_nano)

    def attributes(self, names: Collection[str]) -> dict[str, AttributeValue]:
        """The requested attributes that are present; for an array, its first value."""
        return _attributes(self._span.attributes, names)


def protobuf_status(code: int, message: str) -> bytes:
    """A google.rpc.Status (int32 code = 1, string message = 2), encoded here to avoid another dependency.

    `code` must be below 128 and the message shorter than 16,384 bytes.
    """
    text = message.encode()
    length = bytes([len(text)]) if len(text) < 128 else bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    return b"\x08" + bytes([code]) + b"\x12" + length + text


_PLAIN = frozenset({"string_value", "double_value", "int_value"})


def _attributes(attributes: Any, names: Collection[str]) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for one in attributes:
        key = one.key
        if key in names:
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
