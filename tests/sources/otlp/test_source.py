"""The receiver over real HTTP: what it accepts, and every client error."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from goodwatt.engines.spans import span_rules
from goodwatt.model.request import Dropped, RequestsReading
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import OtlpSection
from goodwatt.sources.otlp.body import BodyReader
from goodwatt.sources.otlp.protobuf_codec import ProtobufCodec
from goodwatt.sources.otlp.server import JSON_CONTENT_TYPE, JSON_ENCODING, TRACES_PATH, TraceServer, supported_encodings
from goodwatt.sources.otlp.source import OtlpSource
from goodwatt.sources.otlp.span import Span
from goodwatt.sources.otlp.span_queue import ServiceMapping, SpanQueue
from tests.engines.golden import PROFILES
from tests.fakes import otlp
from tests.fakes.http_server import unused_port
from tests.fakes.otlp import GZIP, PROTOBUF, VLLM, in_json, in_protobuf, vllm_row, zipped
from tests.sources.otlp.test_codecs import status_class

BATCH = in_protobuf(VLLM)
LARGEST = 64 * 1024


def source(**section: Any) -> OtlpSource:
    given = {"listen": "127.0.0.1:0", "largest_body_bytes": LARGEST, **section}
    return OtlpSource(OtlpSection(**given), PROFILES.values(), lambda: ("chat",))


@asynccontextmanager
async def listening(**section: Any) -> AsyncIterator[tuple[OtlpSource, aiohttp.ClientSession]]:
    """A source that has been read once, and a client for it."""
    receiver = source(**section)
    await receiver.read()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{receiver.port}") as client:
        yield receiver, client
    await receiver.aclose()


async def send(
    client: aiohttp.ClientSession, body: Any, headers: dict[str, str] = PROTOBUF, path: str = TRACES_PATH
) -> tuple[int, bytes, Any]:
    async with client.post(path, data=body, headers=headers) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_spans_are_read_at_the_next_tick() -> None:
    """Protobuf and JSON, gzip and plain: the next read returns the records in order, once."""
    async with listening() as (receiver, client):
        bodies = [
            (in_protobuf(VLLM[:10]), PROTOBUF),
            (zipped(in_protobuf(VLLM[10:20])), PROTOBUF | GZIP),
            (in_json(VLLM[20:30]), otlp.JSON),
            (zipped(in_json(VLLM[30:])), {**GZIP, "Content-Type": "application/json; charset=utf-8"}),
        ]
        for body, headers in bodies:
            status, answer, sent = await send(client, body, headers)
            assert (status, answer) == (200, b"{}" if JSON_CONTENT_TYPE in headers["Content-Type"] else b"")
            assert sent["Content-Type"] == headers["Content-Type"].split(";")[0]
            assert sent["Server"] == "goodwatt"
        reading = await receiver.read()
        assert [one.prompt_tokens for one in reading.records] == [
            row["attributes"]["gen_ai.usage.prompt_tokens"] for row in VLLM
        ]
        assert (reading.dropped, reading.simulated) == ({}, False)
        assert (await receiver.read()).records == ()


async def test_partial_success() -> None:
    """Partial success reports how many spans were rejected and why, in the request's encoding."""
    rows = [vllm_row(1), vllm_row(2, gen_ai__latency__e2e=None)]
    async with listening() as (receiver, client):
        status, body, _ = await send(client, in_protobuf(rows))
        partial = ExportTraceServiceResponse.FromString(body).partial_success
        assert (status, partial.rejected_spans, partial.error_message) == (
            200,
            1,
            "1 lack an id, a start time or a latency",
        )
        _, body, _ = await send(client, in_json(rows[1:]), otlp.JSON)
        assert json.loads(body)["partialSuccess"]["rejectedSpans"] == "1"
        reading = await receiver.read()
        assert (len(reading.records), reading.dropped) == (1, {Dropped.PARTIAL: 2})


def status_of(body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Code and message of a google.rpc.Status."""
    if headers["Content-Type"] == JSON_CONTENT_TYPE:
        reply = json.loads(body)
        return reply["code"], reply["message"]
    status: Any = status_class()()
    status.ParseFromString(body)
    return status.code, status.message


NO_GZIP = "Content-Encoding is gzip, but the body is not"
CUT = "the gzip stream is truncated or has trailing bytes"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "message"),
    [
        (b"\xff" * 9, PROTOBUF, 400, 3, "the body is not a protobuf trace request"),
        (BATCH[:-1], PROTOBUF, 400, 3, "the body is not a protobuf trace request"),
        (b"{", otlp.JSON, 400, 3, "the body is not valid JSON"),
        (b"[]", otlp.JSON, 400, 3, "a field has the wrong type for OTLP"),
        (BATCH, PROTOBUF | GZIP, 400, 3, NO_GZIP),
        (zipped(BATCH)[:-9], PROTOBUF | GZIP, 400, 3, CUT),
        (zipped(BATCH) + b"x", PROTOBUF | GZIP, 400, 3, CUT),
        (zipped(bytes(50_000_000)), PROTOBUF | GZIP, 413, 8, f"the body is larger than {LARGEST} bytes"),
        (bytes(LARGEST + 1), PROTOBUF, 413, 8, f"the body is larger than {LARGEST} bytes"),
        (b" " * (LARGEST + 1), otlp.JSON, 413, 8, f"the body is larger than {LARGEST} bytes"),
    ],
)
async def test_unreadable_bodies_are_rejected_in_their_encoding(
    body: bytes, headers: dict[str, str], status: int, code: int, message: str
) -> None:
    """Malformed, too large and gzip-bomb bodies: one status, one line, one drop, no record."""
    async with listening() as (receiver, client):
        answered, reply, _ = await send(client, body, headers)
        assert answered == status
        assert status_of(reply, headers)[0] == code and status_of(reply, headers)[1].startswith(message)
        reading = await receiver.read()
        assert (reading.records, sum(reading.dropped.values())) == ((), 1)
        assert (await send(client, BATCH))[0] == 200


async def test_other_requests_get_an_error() -> None:
    """Another path, method, content type or encoding gets a status and a line that says what to use."""
    async with listening() as (receiver, client):
        assert (await send(client, b"", path="/v1/metrics"))[:2] == (404, b"not found; send spans to /v1/traces\n")
        async with client.get(TRACES_PATH) as answer:
            assert (answer.status, answer.headers["Allow"], await answer.text()) == (405, "POST", "use POST\n")
        status, reply, _ = await send(client, b"{}", {"Content-Type": "text/plain"})
        assert (status, reply) == (415, b"Content-Type must be application/x-protobuf or application/json\n")
        status, reply, _ = await send(client, b"{}", otlp.JSON | {"Content-Encoding": "br"})
        assert (status, reply) == (415, b"Content-Encoding must be gzip or absent\n")
        assert (await receiver.read()).dropped == {Dropped.MALFORMED: 1}


def served(bodies: BodyReader) -> tuple[SpanQueue, TraceServer]:
    queue = SpanQueue(span_rules(PROFILES.values()), ServiceMapping({}, lambda: ("chat",)), 1000)
    return queue, TraceServer(queue, bodies, supported_encodings())


HEAD = f"POST {TRACES_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n".encode()


async def raw(port: int | None, *parts: bytes, pause: float = 0.0) -> bytes:
    """The response to bytes sent in parts, until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_slow_body_times_out() -> None:
    """A client that trickles gets 408 and is closed; the next one is served."""
    queue, server = served(BodyReader(LARGEST, seconds=0.2))
    await server.start(address())
    try:
        answer = await raw(server.port, HEAD + b"Content-Length: 50\r\n\r\n", *[b"x"] * 5, pause=0.1)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"the body did not arrive within 0.2 s" in answer
        assert queue.drain() == ((), {Dropped.MALFORMED: 1})
    finally:
        await server.aclose()


async def test_an_endless_body_is_cut() -> None:
    """An endless body is rejected as soon as it is too large, and its connection is closed."""
    async with listening() as (receiver, _):
        chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
        answer = await raw(receiver.port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
        assert (await receiver.read()).dropped == {Dropped.OVERFLOW: 1}


@pytest.mark.parametrize(
    "sent",
    [HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", HEAD + b"Content-Length: -1\r\n\r\n", b"\x16\x03\x01\r\n\r\n"],
)
async def test_invalid_http_is_closed(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Broken chunks, impossible lengths and TLS on the plain port get 400 and log no traceback."""
    async with listening() as (receiver, client):
        assert (await raw(receiver.port, sent)).split(b" ")[1] == b"400"
        assert (await send(client, BATCH))[0] == 200
    assert not caplog.records


async def test_expect_continue() -> None:
    """A body is sent after 100 Continue, as curl does with large ones, and one response follows."""
    async with listening() as (receiver, _):
        head = HEAD + f"Connection: close\r\nExpect: 100-continue\r\nContent-Length: {len(BATCH)}\r\n\r\n".encode()
        answer = await raw(receiver.port, head, BATCH, pause=0.1)
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        assert len((await receiver.read()).records) == 40


async def test_a_disconnect_in_mid_body_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    """The partial body is dropped, and other clients are served."""
    async with listening() as (receiver, client):
        _, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(HEAD + b"Content-Length: 50\r\n\r\nxxx")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        await asyncio.sleep(0.05)
        assert (await send(client, BATCH))[0] == 200
        assert len((await receiver.read()).records) == 40
    assert not caplog.records


async def test_bodies_share_a_bounded_memory() -> None:
    """While the body limit is used up, a new body gets 429 and Retry-After: 1; later it is accepted."""
    async with listening() as (receiver, client):
        length = f"Content-Length: {LARGEST}\r\n\r\n".encode()
        holders = [await asyncio.open_connection("127.0.0.1", receiver.port) for _ in range(4)]
        for _, writer in holders:
            writer.write(HEAD + length + bytes(LARGEST - 100))
            await writer.drain()
        await asyncio.sleep(0.2)
        status, reply, headers = await send(client, BATCH)
        assert (status, headers["Retry-After"]) == (429, "1")
        assert status_of(reply, PROTOBUF) == (8, "too many bodies in flight; retry later")
        for _, writer in holders:
            writer.transport.abort()
        await asyncio.sleep(0.1)
        assert (await send(client, BATCH))[0] == 200
        assert (await receiver.read()).dropped[Dropped.OVERFLOW] == 1


async def test_only_one_body_is_decoded_at_a_time() -> None:
    """A few kilobytes of gzip can become hundreds of megabytes of spans: clients never add up."""
    alive = most = 0

    def counted(body: bytes) -> Iterator[Span]:
        nonlocal alive, most
        alive, most = alive + 1, max(most, alive + 1)
        try:
            yield from JSON_ENCODING.spans(body)
        finally:
            alive -= 1

    section = OtlpSection(listen="127.0.0.1:0")
    receiver = OtlpSource(
        section,
        PROFILES.values(),
        lambda: ("chat",),
        encodings={JSON_CONTENT_TYPE: replace(JSON_ENCODING, spans=counted)},
    )
    await receiver.read()
    body = zipped(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{}] * 5000}]}]}).encode())
    async with aiohttp.ClientSession(f"http://127.0.0.1:{receiver.port}") as client:
        answers = await asyncio.gather(*(send(client, body, otlp.JSON | GZIP) for _ in range(8)))
    assert [status for status, _, _ in answers] == [200] * 8
    assert (most, (await receiver.read()).dropped) == (1, {Dropped.FOREIGN: 40_000})
    await receiver.aclose()


async def test_large_bodies_do_not_block_the_loop() -> None:
    """While 20,000 spans are processed, other tasks run every few milliseconds."""
    async with listening(largest_body_bytes=16 * 1024 * 1024, queue_requests=100_000) as (receiver, client):
        body = zipped(in_protobuf([vllm_row(number) for number in range(5000)]))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.create_task(others())
        status, _, _ = await send(client, body, PROTOBUF | GZIP)
        beside.cancel()
        assert status == 200 and len((await receiver.read()).records) == 5000
        assert turns > 5000 / 64


def address() -> Any:
    from goodwatt.web.address import Address

    return Address("127.0.0.1", 0)


async def test_an_address_in_use_is_retried_at_every_read() -> None:
    """The error names the setting for another address; the next read after it is free succeeds."""
    port = unused_port()
    other = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
    receiver = source(listen=f"127.0.0.1:{port}")
    for _ in range(2):
        with pytest.raises(SourceUnavailable) as why:
            await receiver.read()
        assert why.value.reason is Reason.CANNOT_LISTEN
        assert why.value.detail == (
            f"otlp: cannot listen on 127.0.0.1:{port}: address already in use; "
            "stop the program that uses it, or choose another port with otlp.listen"
        )
    other.close()
    await other.wait_closed()
    assert (await receiver.read()).records == ()
    assert receiver.port == port
    await receiver.aclose()
    await receiver.aclose()
    assert receiver.port is None


async def test_a_cancelled_start_leaves_nothing_behind() -> None:
    """A read cancelled during name resolution leaves no socket open."""
    for turns in range(4):
        receiver = source(listen="localhost:0")
        reading = asyncio.create_task(receiver.read())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert receiver.port is None
        assert isinstance(await receiver.read(), RequestsReading)
        await receiver.aclose()


async def test_closing_takes_less_than_a_second() -> None:
    """Idle connections and a body in flight do not delay aclose."""
    async with listening() as (receiver, client):
        await send(client, BATCH)
        _, writer = await asyncio.open_connection("127.0.0.1", receiver.port)
        writer.write(HEAD + b"Content-Length: 50\r\n\r\nxxx")
        await writer.drain()
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await receiver.aclose()
        assert time.monotonic() - began < 1.5
        writer.close()


async def test_idle_connections_are_closed() -> None:
    """A client that connects and sends nothing is disconnected after a while."""
    now = 0.0
    queue = SpanQueue(span_rules(()), ServiceMapping({}, tuple), 1)
    server = TraceServer(queue, BodyReader(1), supported_encodings(), clock=lambda: now)
    await server.start(address())
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await asyncio.sleep(0.05)
    server._listening._swept()
    now = 31.0
    server._listening._swept()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.close()
    await server.aclose()


async def test_without_the_package_json_is_read_and_protobuf_says_what_to_install() -> None:
    """After the first protobuf export the source is unavailable, unless JSON brings records."""
    section = OtlpSection(listen="127.0.0.1:0")

    def no_package() -> ProtobufCodec:
        raise ImportError

    known = supported_encodings(no_package)
    assert known == {JSON_CONTENT_TYPE: JSON_ENCODING}
    receiver = OtlpSource(section, PROFILES.values(), lambda: ("chat",), encodings=known)
    await receiver.read()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{receiver.port}") as client:
        status, reply, _ = await send(client, BATCH)
        assert status == 415 and b"pip install 'goodwatt[otlp]'" in reply
        with pytest.raises(SourceUnavailable, match=r"needs the package opentelemetry-proto; pip install") as why:
            await receiver.read()
        assert why.value.reason is Reason.LIBRARY_MISSING
        assert (await send(client, in_json(VLLM), otlp.JSON))[0] == 200
        reading = await receiver.read()
        assert (len(reading.records), reading.dropped) == (40, {Dropped.MALFORMED: 1})
    await receiver.aclose()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_input_gives_5xx(data: st.DataObject) -> None:
    """Any bytes under any headers, truncated or mutated, give 200 or 4xx, and the source keeps working."""
    seeds = st.sampled_from([BATCH, zipped(BATCH), in_json(VLLM[:2]), zipped(in_json(VLLM[:2])), b""])
    kinds = st.sampled_from([PROTOBUF, otlp.JSON, PROTOBUF | GZIP, otlp.JSON | GZIP])
    async with listening() as (receiver, client):
        for _ in range(5):
            seed = data.draw(seeds)
            at = data.draw(st.integers(0, len(seed)))
            body = seed[:at] + data.draw(st.binary(max_size=40)) + seed[at + data.draw(st.integers(0, 40)) :]
            status, _, _ = await send(client, body, data.draw(kinds))
            assert status == 200 or 400 <= status < 500
        assert isinstance(await receiver.read(), RequestsReading)
