"""OTLP/JSON: ids in hexadecimal, integers as strings or numbers, unknown keys ignored."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from goodwatt.engines.spans import AttributeValue
from goodwatt.sources.otlp.span import SERVICE_ATTRIBUTES, MalformedOtlp, SpanService, service_of, span_key

_FORM = "a field has the wrong type for OTLP"


def json_spans(body: bytes) -> Iterator["JsonSpan"]:
    """Yield every span. Raises MalformedOtlp if the body is not a trace request; a bad span raises when accessed."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedOtlp("the body is not valid JSON") from None
    for group in _list(_mapping(request), "resourceSpans"):
        resource = _mapping(_mapping(group).get("resource") or {})
        service = service_of(_attributes(resource, SERVICE_ATTRIBUTES))
        for scope in _list(_mapping(group), "scopeSpans"):
            yield from (JsonSpan(service, _mapping(span)) for span in _list(_mapping(scope), "spans"))


class JsonSpan:
    """One entry of `spans`, decoded on access."""

    __slots__ = ("_span", "service")

    def __init__(self, service: SpanService, span: dict[str, Any]) -> None:
        self.service = service
        self._span = span

    @property
    def name(self) -> str:
        """The span's name; selects the profile that describes it."""
        return str(self._span.get("name", ""))

    @property
    def key(self) -> bytes:
        """Trace id plus span id; empty if either is invalid."""
        try:
            return span_key(*(bytes.fromhex(str(self._span.get(key, ""))) for key in ("traceId", "spanId")))
        except ValueError:
            return b""

    @property
    def start_ns(self) -> int:
        """Start, Unix time in nanoseconds."""
        return _whole(self._span.get("startTimeUnixNano", 0))

    @property
    def end_ns(self) -> int:
        """End, Unix time in nanoseconds."""
        return _whole(self._span.get("endTimeUnixNano", 0))

    def attributes(self, names: Collection[str]) -> dict[str, AttributeValue]:
        """The requested attributes that are present; for an array, its first value."""
        return _attributes(self._span, names)


def json_response(rejected: int, why: str) -> bytes:
    """An ExportTraceServiceResponse; with `rejected` above 0, a partial success."""
    partial = {"partialSuccess": {"rejectedSpans": str(rejected), "errorMessage": why}} if rejected else {}
    return json.dumps(partial).encode()


def json_status(code: int, message: str) -> bytes:
    """A google.rpc.Status as JSON."""
    return json.dumps({"code": code, "message": message}).encode()


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedOtlp(_FORM)
    return value


def _list(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise MalformedOtlp(_FORM)
    return value


def _attributes(holder: dict[str, Any], names: Collection[str]) -> dict[str, AttributeValue]:
    found = {}
    for entry in _list(holder, "attributes"):
        key = _mapping(entry).get("key")
        if isinstance(key, str) and key in names:
            found[key] = _value(entry.get("value"))
    return {key: value for key, value in found.items() if value is not None}


def _value(any_value: Any) -> AttributeValue | None:
    value = _mapping(any_value or {})
    if "arrayValue" in value:
        items = _list(_mapping(value["arrayValue"]), "values")
        return _value(items[0]) if items and "arrayValue" not in _mapping(items[0]) else None
    if "intValue" in value:
        return _whole(value["intValue"])
    plain = value.get("stringValue", value.get("doubleValue"))
    if isinstance(plain, int) and not isinstance(plain, bool):
        return _whole(plain)
    return plain if isinstance(plain, str | float) else None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise MalformedOtlp(_FORM)
    try:
        whole = int(value)
    except ValueError:
        raise MalformedOtlp(_FORM) from None
    if not -(1 << 63) <= whole < 1 << 64:
        raise MalformedOtlp(_FORM)
    return whole
