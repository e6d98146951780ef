"""Both encodings of OTLP."""

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
    """All that can be read of spans."""
    return [(s.service, s.name, s.key, s.start_ns, s.end_ns, s.attributes(WANTED)) for s in spans]


def both(rows: list[dict[str, Any]]) -> Iterator[list[tuple[Any, ...]]]:
    yield plain(ProtobufCodec().spans(in_protobuf(rows)))
    yield plain(json_codec.json_spans(in_json(rows)))


def test_both_encodings_say_the_same() -> None:
    """Real spans are read alike from protobuf and from JSON, attributes that nobody wants left out."""
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
    """Of several values the first counts; what is neither text nor number is as good as missing."""
    for found in both([vllm_row(1, odd=odd)]):
        assert {key: value for key, value in found[0][-1].items() if key == "odd"} == read


@pytest.mark.parametrize(
    ("trace", "span"), [("", "01" * 8), ("00" * 16, "01" * 8), ("01" * 16, "00" * 8), ("01" * 15, "01" * 8)]
)
def test_what_is_no_id_gives_no_key(trace: str, span: str) -> None:
    """Empty, zero and short ids cannot tell spans apart."""
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
def test_what_is_no_request_is_malformed(body: bytes) -> None:
    """JSON that is none, or has another shape, is refused as a whole, and what is said of it holds nothing of it."""
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
def test_one_malformed_span_says_so(span: dict[str, Any]) -> None:
    """A span that has another shape is found out when it is read."""
    (found,) = json_codec.json_spans(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode())
    with pytest.raises(MalformedOtlp):
        plain([found])


def test_unknown_keys_are_of_no_matter() -> None:
    """Keys that are new, no text, or nobody's are passed over."""
    span = {"name": "x", "new": 1, "attributes": [{"key": ["odd"]}, {"value": {}}, {"key": "odd", "value": None}]}
    (found,) = json_codec.json_spans(
        json.dumps({"resourceSpans": [{"new": 1, "scopeSpans": [{"spans": [span]}]}]}).encode()
    )
    assert found.attributes(WANTED) == {}
    assert plain(json_codec.json_spans(b'{"resourceSpans": [{}, {"scopeSpans": null}]}')) == []


def test_protobuf_that_is_none_is_malformed() -> None:
    """Bytes that are no message, or end too early, are refused."""
    for body in (b"\xff" * 9, in_protobuf(list(VLLM))[:-1]):
        with pytest.raises(MalformedOtlp, match=r"^the body is not a protobuf trace request$"):
            plain(ProtobufCodec().spans(body))


def test_answers_are_opentelemetry_s() -> None:
    """What was rejected, and why, as OpenTelemetry's own classes read it; nothing where nothing was."""
    told = ExportTraceServiceResponse.FromString(ProtobufCodec().encoded_response(3, "why"))
    assert (told.partial_success.rejected_spans, told.partial_success.error_message) == (3, "why")
    assert ProtobufCodec().encoded_response(0, "") == b""
    partial = {"rejectedSpans": "3", "errorMessage": "why"}
    assert json.loads(json_codec.json_response(3, "why")) == {"partialSuccess": partial}
    assert json_codec.json_response(0, "") == b"{}"


@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16383])
def test_a_status_is_google_s(length: int) -> None:
    """The few bytes written by hand are what protobuf's own code reads as int32 code = 1 and string message = 2."""
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


def test_a_missing_package_is_found_missing() -> None:
    """With the package there, without it, and without anything of OpenTelemetry's."""

    def nothing(name: str) -> object:
        raise ModuleNotFoundError(name)

    assert not protobuf_codec.protobuf_missing()
    assert protobuf_codec.protobuf_missing(lambda _: None)
    assert protobuf_codec.protobuf_missing(nothing)
