"""Spans as servers send them: rows like those captured from a real vLLM, in both encodings."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

Row = dict[str, Any]

PATH = "/v1/traces"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
ENGINES = Path(__file__).parents[1] / "engines"
VLLM_SPANS = ENGINES / "vllm/0.32.0/spans.jsonl"
SGLANG_SPANS = ENGINES / "sglang/0.5.23/spans-generated.jsonl"


def rows(path: Path) -> list[Row]:
    """The spans in a file, one JSON object per line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


VLLM = tuple(rows(VLLM_SPANS))


def vllm_row(
    number: int,
    *,
    service: str = "chat",
    ttft: float = 0.1,
    tpot: float = 0.01,
    tokens: int = 11,
    end_ns: int | None = None,
    **attributes: Any,
) -> Row:
    """A request span as vLLM 0.32 sends it; an attribute set to None is omitted."""
    e2e = ttft + tpot * (tokens - 1)
    end = VLLM[0]["end_ns"] + number if end_ns is None else end_ns
    own = {
        "gen_ai.latency.time_to_first_token": ttft,
        "gen_ai.latency.e2e": e2e,
        "gen_ai.latency.time_in_model_decode": tpot * (tokens - 1),
        "gen_ai.usage.completion_tokens": tokens,
        "gen_ai.request.id": f"cmpl-{number}",
    }
    overrides = {k.replace("__", "."): v for k, v in attributes.items()}
    given = {key: value for key, value in {**VLLM[0]["attributes"], **own, **overrides}.items() if value is not None}
    return {
        **VLLM[0],
        "resource": {**VLLM[0]["resource"], "service.name": service},
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        "start_ns": end - round(e2e * 1e9),
        "end_ns": end,
        "attributes": given,
    }


def in_protobuf(spans: Iterable[Row]) -> bytes:
    """An ExportTraceServiceRequest encoded by OpenTelemetry's classes."""
    request = ExportTraceServiceRequest()
    for resource, group in _by_resource(spans):
        sent = request.resource_spans.add()
        for key, value in resource.items():
            _set(sent.resource.attributes.add(key=key).value, value)
        scope = sent.scope_spans.add()
        for row in group:
            span = scope.spans.add(
                name=row["name"],
                kind=row["kind"],
                trace_id=bytes.fromhex(row["trace_id"]),
                span_id=bytes.fromhex(row["span_id"]),
                start_time_unix_nano=row["start_ns"],
                end_time_unix_nano=row["end_ns"],
            )
            for key, value in row["attributes"].items():
                _set(span.attributes.add(key=key).value, value)
    return request.SerializeToString()


def in_json(spans: Iterable[Row]) -> bytes:
    """The same spans as OTLP/JSON."""
    groups = [
        {
            "resource": {"attributes": _json_attributes(resource)},
            "scopeSpans": [{"scope": {"name": "any"}, "spans": [_json_span(row) for row in group]}],
        }
        for resource, group in _by_resource(spans)
    ]
    return json.dumps({"resourceSpans": groups}).encode()


def zipped(body: bytes) -> bytes:
    """The body compressed as exporters do."""
    return gzip.compress(body, 6)


def _by_resource(spans: Iterable[Row]) -> list[tuple[Mapping[str, Any], Sequence[Row]]]:
    return [(group[0]["resource"], group) for _, found in groupby(spans, _resource_key) if (group := list(found))]


def _resource_key(row: Row) -> str:
    return json.dumps(row["resource"], sort_keys=True)


def _set(target: AnyValue, value: Any) -> None:
    if isinstance(value, list | tuple):
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)
    else:
        setattr(
            target, {str: "string_value", bool: "bool_value", int: "int_value"}.get(type(value), "double_value"), value
        )


def _json_span(row: Row) -> dict[str, Any]:
    return {
        "traceId": row["trace_id"],
        "spanId": row["span_id"],
        "name": row["name"],
        "kind": row["kind"],
        "startTimeUnixNano": str(row["start_ns"]),
        "endTimeUnixNano": str(row["end_ns"]),
        "attributes": _json_attributes(row["attributes"]),
    }


def _json_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _json_value(value)} for key, value in attributes.items()]


def _json_value(value: Any) -> dict[str, Any]:
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_json_value(item) for item in value]}}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": value} if isinstance(value, str) else {"doubleValue": value}
