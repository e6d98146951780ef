"""Which spans become records, for which server, and how the rest is counted."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from goodwatt.engines.spans import span_rules
from goodwatt.model.request import Dropped
from goodwatt.sources.otlp.protobuf_codec import ProtobufCodec
from goodwatt.sources.otlp.span import SpanService
from goodwatt.sources.otlp.span_queue import ServiceMapping, SpanQueue
from tests.engines.golden import PROFILES
from tests.fakes.otlp import SGLANG_SPANS, VLLM, Row, in_protobuf, rows, vllm_row

NOW = VLLM[0]["end_ns"] / 1e9
RULE_OF = span_rules(PROFILES.values())


def span_queue(
    servers: Iterable[str] = ("chat",), services: Mapping[str, str] | None = None, capacity: int = 1000
) -> SpanQueue:
    return SpanQueue(RULE_OF, ServiceMapping(services or {}, lambda: tuple(servers)), capacity, clock=lambda: NOW)


async def taken(into: SpanQueue, *spans: Row) -> tuple[int, dict[Dropped, int]]:
    """The number of records from these spans, and the drop counts."""
    await into.put(ProtobufCodec().spans(in_protobuf(spans)))
    records, dropped = into.drain()
    return len(records), dict(dropped)


@pytest.mark.parametrize(
    ("service", "instance", "servers", "services", "server"),
    [
        ("chat", "i", ("chat", "batch"), {}, "chat"),
        ("other", "batch", ("chat", "batch"), {}, "batch"),
        ("chat", "batch", ("chat", "batch"), {}, "batch"),
        ("vllm", "i", ("chat", "batch"), {"vllm": "chat"}, "chat"),
        ("vllm", "i", ("chat", "batch"), {"vllm": "chat", "i": "batch"}, "batch"),
        ("chat", "", ("chat", "batch"), {"chat": "batch"}, "batch"),
        ("unknown_service:python3", "i", ("chat",), {}, "chat"),
        ("", "", ("chat",), {}, "chat"),
        ("other", "i", ("chat",), {"vllm": "chat"}, None),
        ("other", "i", ("chat", "batch"), {}, None),
        ("", "", (), {}, None),
    ],
)
def test_mapping_of_services_to_servers(
    service: str, instance: str, servers: tuple[str, ...], services: dict[str, str], server: str | None
) -> None:
    """The configured map comes first, then a server of that name, then the only server if no map is set."""
    assert ServiceMapping(services, lambda: servers).server_of(SpanService(service, instance)) == server


async def test_real_spans_become_records_once() -> None:
    """40 real spans give 40 records in order; sent again they are 40 duplicates."""
    into = span_queue()
    await into.put(ProtobufCodec().spans(in_protobuf(VLLM)))
    records, dropped = into.drain()
    assert [one.e2e_seconds for one in records] == [row["attributes"]["gen_ai.latency.e2e"] for row in VLLM]
    assert {one.server for one in records} == {"chat"} and not dropped
    assert await taken(into, *VLLM) == (0, {Dropped.DUPLICATE: 40})


async def test_foreign_spans_are_not_rejections() -> None:
    """Start-up and child spans are counted as foreign and not reported to the sender."""
    into = span_queue()
    result = await into.put(
        ProtobufCodec().spans(in_protobuf([{**vllm_row(1), "name": "load_model"}, *rows(SGLANG_SPANS)]))
    )
    records, dropped = into.drain()
    assert (len(records), dropped, result) == (6, {Dropped.FOREIGN: 6}, (0, ""))


async def test_rejections_are_counted_and_reported() -> None:
    """Partial and unmapped spans are counted by reason, and the sender gets the number."""
    into = span_queue(("chat", "batch"))
    partial = vllm_row(1, gen_ai__latency__e2e=None)
    nameless = {**vllm_row(2), "span_id": "00" * 8}
    result = await into.put(
        ProtobufCodec().spans(in_protobuf([partial, nameless, vllm_row(3, service="x"), vllm_row(4)]))
    )
    assert result.rejected == 3
    assert (
        "2 lack an id, a start time or a latency; 1 come from a service that maps to no server" in result.error_message
    )
    records, dropped = into.drain()
    assert (len(records), dropped) == (1, {Dropped.PARTIAL: 2, Dropped.UNKNOWN_SERVER: 1})


async def test_late_spans() -> None:
    """After enough spans that the first are forgotten, a span that ended with them is late."""
    into = span_queue(capacity=10**6)
    into._recent._most = 10
    await into.put(ProtobufCodec().spans(in_protobuf([vllm_row(n) for n in range(30)])))
    into.drain()
    assert await taken(into, vllm_row(99, end_ns=VLLM[0]["end_ns"] - 10**9)) == (0, {Dropped.LATE: 1})


async def test_a_full_queue() -> None:
    """Spans above the capacity are dropped and not remembered, so they can be sent again after a tick."""
    into = span_queue(capacity=3)
    result = await into.put(ProtobufCodec().spans(in_protobuf([vllm_row(n) for n in range(5)])))
    assert result == (2, "2 exceeded otlp.queue_requests between two ticks")
    records, dropped = into.drain()
    assert (len(records), dropped) == (3, {Dropped.OVERFLOW: 2})
    assert await taken(into, *(vllm_row(n) for n in range(5))) == (2, {Dropped.DUPLICATE: 3})


async def test_unknown_services_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An unmapped service is logged once, by name only, and at most 100 services are logged."""
    into = span_queue(("chat", "batch"))
    secret = {"gen_ai__prompt": "s3cret", "gen_ai__request__id": "s3cret"}
    with caplog.at_level(logging.WARNING, "goodwatt.sources.otlp.span_queue"):
        for number in range(300):
            await taken(
                into, vllm_row(number, service=f"x{number}\n", **secret), vllm_row(number, service="y", **secret)
            )
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 100
    assert "service.name 'x0\\n'" in lines[0] and "map it in otlp.services" in lines[0]
    assert "s3cret" not in "".join(lines)


async def test_records_keep_no_prompt() -> None:
    """A record contains nothing of a prompt in its span."""
    into = span_queue()
    secret: dict[str, Any] = {"gen_ai__prompt": "s3cret", "gen_ai__request__id": "s3cret", "llm__input": ["s3cret"]}
    await into.put(ProtobufCodec().spans(in_protobuf([vllm_row(1, **secret)])))
    records, _ = into.drain()
    assert records and "s3cret" not in repr(records)
