"""The protobuf and JSON encodings of OTLP."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from goodwatt.sources.otlp import json_codec, protobuf_codec
from goodwatt.sources.otlp.protobuf_codec import ProtobufCodec
from goodwatt.sources.otlp.span import MalformedOtlp, Span, SpanService
from tests.fakes.otlp import VLLM, in_json, in_protobuf, vllm_row

WANTED = frozenset({"gen_ai.latency.e2e", "gen_ai.usage.prompt_tokens", "gen_ai.request.id", "odd"})


def plain(spans: Iterable[Span]) -> list[tuple[Any, ...]]:
    """Every readable property of the spans."""
    return [(s.service, s.name, s.key, s.start_ns, s.end_ns, s.attributes(WANTED)) for s in spans]


def both(rows: list[dict[str, Any]]) -> Iterator[list[tuple[Any, ...]]]:
    yield plain(ProtobufCodec().spans(in_protobuf(rows)))
    yield plain(json_codec.json_spans(in_json(rows)))


def test_both_encodings_agree() -> None:
    """Real spans decode alike from protobuf and JSON, without attributes that were not requested."""
    in_one, in_other = both(list(VLLM))
    assert in_one == in_other
    row = VLLM[0]
    assert in_one[0] == (
        SpanService(row["resource"]["service.name"], row["resource"]["service.instance.id"]),
        "llm_request",
        bytes.fromhex(row["trace_id"] + row["span_id"]),
        row["start_ns"],
        row["end_ns"],
        {name: row["attributes"][name] for name in WANTED - {"odd"}},
    )


@pytest.mark.parametrize(
    ("odd", "read"), [(["a", "b"], {"odd": "a"}), ([], {}), (True, {}), ([["a"]], {}), (7, {"odd": 7})]
)
def test_a_list_is_its_first_item(odd: Any, read: dict[str, Any]) -> None:
    """The first item of an array counts; values that are neither text nor number count as missing."""
    for found in both([vllm_row(1, odd=odd)]):
        assert {key: value for key, value in found[0][-1].items() if key == "odd"} == read


@pytest.mark.parametrize(
    ("trace", "span"), [("", "01" * 8), ("00" * 16, "01" * 8), ("01" * 16, "00" * 8), ("01" * 15, "01" * 8)]
)
def test_invalid_ids_give_no_key(trace: str, span: str) -> None:
    """Empty, zero and short ids cannot identify a span."""
    for found in both([{**vllm_row(1), "trace_id": trace, "span_id": span}]):
        assert found[0][2] == b""
    (found,) = json_codec.json_spans(
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "no hexadecimal"}]}]}]}'
    )
    assert found.key == b"" and found.service == SpanService()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"[]",
        b"7",
        b'{"resourceSpans": {}}',
        b'{"resourceSpans": [7]}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"9" * 5000,
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}',
        b'{"resourceSpans": [{"resource": 7}]}',
    ],
)
def test_invalid_json_is_malformed(body: bytes) -> None:
    """Invalid JSON or another structure is rejected as a whole, and the message quotes none of it."""
    with pytest.raises(MalformedOtlp, match=r"^(the body is not valid JSON|a field has the wrong type for OTLP)$"):
        plain(json_codec.json_spans(body))


@pytest.mark.parametrize(
    "span",
    [
        {"startTimeUnixNano": "x"},
        {"startTimeUnixNano": True},
        {"startTimeUnixNano": "9" * 30},
        {"attributes": 7},
        {"attributes": [7]},
        {"attributes": [{"key": "odd", "value": 7}]},
        {"attributes": [{"key": "odd", "value": {"intValue": "x"}}]},
        {"attributes": [{"key": "odd", "value": {"doubleValue": 10**300}}]},
        {"attributes": [{"key": "odd", "value": {"arrayValue": {"values": 7}}}]},
    ],
)
def test_a_malformed_span_raises_on_access(span: dict[str, Any]) -> None:
    """A span with another structure raises when it is read."""
    (found,) = json_codec.json_spans(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())
    with pytest.raises(MalformedOtlp):
        plain([found])


def test_unknown_keys_are_ignored() -> None:
    """New, non-text and unrelated keys are ignored."""
    span = {"name": "x", "new": 1, "attributes": [{"key": ["odd"]}, {"value": {}}, {"key": "odd", "value": None}]}
    (found,) = json_codec.json_spans(
        json.dumps({"resourceSpans": [{"new": 1, "scopeSpans": [{"spans": [span]}]}]}).encode()
    )
    assert found.attributes(WANTED) == {}
    assert plain(json_codec.json_spans(b'{"resourceSpans": [{}, {"scopeSpans": null}]}')) == []


def test_invalid_protobuf_is_malformed() -> None:
    """Bytes that are not a message, or are truncated, are rejected."""
    for body in (b"\xff" * 9, in_protobuf(list(VLLM))[:-1]):
        with pytest.raises(MalformedOtlp, match=r"^the body is not a protobuf trace request$"):
            plain(ProtobufCodec().spans(body))


def test_responses_match_opentelemetry() -> None:
    """OpenTelemetry's classes read back the number rejected and the reason; empty if none was."""
    result = ExportTraceServiceResponse.FromString(ProtobufCodec().encoded_response(3, "why"))
    assert (result.partial_success.rejected_spans, result.partial_success.error_message) == (3, "why")
    assert ProtobufCodec().encoded_response(0, "") == b""
    partial = {"rejectedSpans": "3", "errorMessage": "why"}
    assert json.loads(json_codec.json_response(3, "why")) == {"partialSuccess": partial}
    assert json_codec.json_response(0, "") == b"{}"


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16383])
def test_status_matches_google_rpc(length: int) -> None:
    """Protobuf's own decoder reads the hand-encoded bytes as int32 code = 1 and string message = 2."""
    status = status_class()()
    status.ParseFromString(protobuf_codec.protobuf_status(8, "x" * length))
    assert (status.code, status.message) == (8, "x" * length)  # type: ignore[attr-defined]


def status_class() -> type[Message]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package="google.rpc", syntax="proto3")
    message = file.message_type.add(name="Status")
    field = descriptor_pb2.FieldDescriptorProto
    for name, number, kind in (("code", 1, field.TYPE_INT32), ("message", 2, field.TYPE_STRING)):
        message.field.add(name=name, number=number, type=kind, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))


def test_missing_package() -> None:
    """With the package, without it, and without any OpenTelemetry package."""

    def nothing(name: str) -> object:
        raise ModuleNotFoundError(name)

    assert not protobuf_codec.protobuf_missing()
    assert protobuf_codec.protobuf_missing(lambda _: None)
    assert protobuf_codec.protobuf_missing(nothing)
