"""What the proxy measures of a request, from the bytes of its response."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodwatt.model.engine import Outcome
from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.proxy.http1.head import UNTIL_CLOSE, ResponseHead
from goodwatt.sources.proxy.recording.api_formats import MessageFacts, is_recorded, read_message
from goodwatt.sources.proxy.recording.recorder import ArrivalTime, RequestRecorder
from goodwatt.sources.proxy.recording.stream import MAX_EVENT_BYTES, MAX_WHOLE_BYTES
from tests.fakes.openai_server import chat_events, event

SSE, NDJSON, JSON = "text/event-stream; charset=utf-8", "application/x-ndjson", "application/json"


def head(kind: str = SSE, status: int = 200, encoding: str = "") -> ResponseHead:
    fields = [(b"Content-Type", kind.encode())] + ([(b"Content-Encoding", encoding.encode())] if encoding else [])
    return ResponseHead(status, b"", tuple(fields), UNTIL_CLOSE, False)


def recorder() -> RequestRecorder:
    """Of a request that arrived at 10 s."""
    return RequestRecorder("a", ArrivalTime(10.0, 1e9))


def measured(*timed: tuple[float, bytes], kind: str = SSE, encoding: str = "", **how: bool) -> RequestRecord | Dropped:
    """The answer came in these pieces at these times, and ended whole at 20 s unless `how` says otherwise."""
    one = recorder()
    one.start_response(head(kind, encoding=encoding))
    for at, piece in timed:
        one.add_response_body([piece], at)
    return one.finish(**{"whole": True, "gone": False, **how}, now=20.0)


def record(*timed: tuple[float, bytes], kind: str = SSE, encoding: str = "", **how: bool) -> RequestRecord:
    told = measured(*timed, kind=kind, encoding=encoding, **how)
    assert isinstance(told, RequestRecord)
    return told


def tokens(told: RequestRecord) -> tuple[int | None, int | None, int | None, bool]:
    return told.prompt_tokens, told.cached_prompt_tokens, told.generated_tokens, told.tokens_estimated


def test_latencies_are_those_of_the_content() -> None:
    """TTFT ends with the first token, not with the role; TPOT with the last one, not with usage or the end."""
    role, first, second, third, *rest = chat_events(3, usage=(9, 4, 3))
    told = record((10.5, role), (11.0, first), (11.5, second), (13.0, third), (19.0, b"".join(rest)))
    assert (told.ttft_seconds, told.tpot_seconds, told.e2e_seconds) == (1.0, 1.0, 10.0)
    assert (told.outcome, told.model, told.streaming) == (Outcome.SUCCESS, "m", True)
    assert tokens(told) == (9, 4, 3, False)
    assert told.arrival_unix_seconds == 1e9


def test_without_usage_tokens_are_those_of_the_content_and_said_to_be_estimated() -> None:
    """One for each message that brought content."""
    told = record((11.0, b"".join(chat_events(7))))
    assert tokens(told) == (None, None, 7, True)
    assert told.tpot_seconds == 0.0


def test_several_choices_share_the_tokens() -> None:
    """With `n` answers side by side, the time per token is that of one of them, and all their tokens count."""

    def part(index: object, text: str) -> bytes:
        return event({"choices": [{"index": index, "delta": {"content": text}}]})

    usage = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 6}})
    both = [(11.0 + n, part(0, "x") + part(1, "y")) for n in range(3)]
    told = record(*both, (14.0, usage))
    assert (told.ttft_seconds, told.tpot_seconds, told.generated_tokens) == (1.0, 1.0, 6)
    told = record((11.0, part(0, "x") + part(1, "y")), (12.0, part(10**30, "z") + part("2", "z")))
    assert (told.tpot_seconds, told.generated_tokens) == (1.0, 4)
    told = record((11.0, part(0, "x") + part(2, "y")), (12.0, part(1, "z")))
    assert (told.tpot_seconds, told.generated_tokens) == (None, 3)


def test_a_byte_order_mark_hides_no_event() -> None:
    """As the standard for server-sent events has it, before the first line only."""
    first, *rest = chat_events(1)[1:]
    told = record((11.0, b"\xef\xbb\xbf" + first), (12.0, b"".join(rest)))
    assert (told.ttft_seconds, told.generated_tokens) == (1.0, 1)
    told = record((11.0, first), (12.0, b"\xef\xbb\xbf" + first + b"".join(rest)))
    assert told.generated_tokens == 1


def test_an_answer_in_one_piece_has_tokens_and_no_first_token() -> None:
    """Their arrival times are unknown."""
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": None}
    whole = {"model": "m", "choices": [{"message": {"content": "x"}, "text": "x", "finish_reason": "stop"}]}
    told = record((15.0, json.dumps({**whole, "usage": usage}).encode()), kind=JSON)
    assert (told.ttft_seconds, told.tpot_seconds, told.streaming, told.outcome) == (None, None, False, Outcome.SUCCESS)
    assert tokens(told) == (5, None, 6, False)
    assert tokens(record((15.0, json.dumps(whole).encode()), kind=JSON)) == (None, None, None, False)


def test_one_token_has_no_time_per_token() -> None:
    """Below two tokens there is nothing between."""
    told = record((11.0, b"".join(chat_events(1, usage=(1, 0, 1)))))
    assert (told.ttft_seconds, told.tpot_seconds, told.generated_tokens) == (1.0, None, 1)


@pytest.mark.parametrize(
    ("how", "stream", "expected"),
    [
        ({"whole": False}, chat_events(3)[:2], Outcome.ERROR),
        ({"whole": False, "gone": True}, chat_events(3)[:2], Outcome.CANCELLED),
        ({"whole": False, "gone": True}, [], Outcome.CANCELLED),
        ({"whole": False, "gone": True}, chat_events(3), Outcome.SUCCESS),  # clients leave at [DONE]
        ({"whole": False, "gone": True}, chat_events(3)[:-1], Outcome.SUCCESS),  # or once a reason to stop is given
        ({}, [*chat_events(3)[:2], event({"error": {"message": "no"}})], Outcome.ERROR),
        ({}, [*chat_events(3)[:2], b"error: {}\n\n"], Outcome.ERROR),
        ({"whole": False, "gone": True}, [event({"object": "error", "message": "no"})], Outcome.ERROR),
    ],
)
def test_how_a_stream_ends(how: dict[str, bool], stream: list[bytes], expected: Outcome) -> None:
    """Cancelled where the client left first, an error where the server broke off or said so."""
    assert record((11.0, b"".join(stream)), **how).outcome is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Outcome.SUCCESS),
        (500, Outcome.ERROR),
        (503, Outcome.ERROR),
        (429, Outcome.ERROR),
        (499, Outcome.CANCELLED),
        (400, Dropped.REFUSED),
        (401, Dropped.REFUSED),
        (404, Dropped.REFUSED),
        (302, Dropped.REFUSED),
    ],
)
def test_what_a_status_means(status: int, expected: Outcome | Dropped) -> None:
    """5xx and 429 are the server's failures; other 4xx are mistakes of the client's, and no request of the engine."""
    one = recorder()
    one.start_response(head(JSON, status))
    one.add_response_body([b"{}" if status < 300 else b'{"error": {"message": "x"}}'], 11.0)
    told = one.finish(whole=True, gone=False, now=12.0)
    assert (told.outcome if isinstance(told, RequestRecord) else told) is expected


@pytest.mark.parametrize(("status", "expected"), [(502, Outcome.ERROR), (503, Outcome.ERROR), (413, Dropped.REFUSED)])
def test_what_the_proxy_itself_answers_counts_alike(status: int, expected: Outcome | Dropped) -> None:
    """For the client it is the service that failed. No server named a model: the one that was asked for stands."""
    one = recorder()
    one.add_request_body(b'{"model": "wanted"}')
    told = one.finish_rejected(status, 12.0)
    assert (told.outcome if isinstance(told, RequestRecord) else told) is expected
    if isinstance(told, RequestRecord):
        assert (told.model, told.e2e_seconds, told.generated_tokens, told.streaming) == ("wanted", 2.0, None, None)


OPENAI = {"model": "m", "choices": [{"delta": {}, "finish_reason": None}]}
ANTHROPIC = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}
LLAMA = {"cache_n": 4, "prompt_n": 5, "predicted_n": 6}


def chat(**delta: object) -> dict[str, object]:
    return {"model": "m", "choices": [{"delta": delta, "finish_reason": None}]}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (chat(role="assistant"), MessageFacts(model="m")),
        (chat(role="assistant", content=""), MessageFacts(model="m")),
        (chat(content=None), MessageFacts(model="m")),
        (chat(content=" "), MessageFacts(True, "m")),
        (chat(reasoning_content="x"), MessageFacts(True, "m")),
        (chat(reasoning="x"), MessageFacts(True, "m")),
        (chat(refusal="x"), MessageFacts(True, "m")),
        (chat(tool_calls=[{"index": 0, "function": {"name": "f"}}]), MessageFacts(True, "m")),
        (chat(tool_calls=[]), MessageFacts(model="m")),
        (chat(function_call={"name": "f"}), MessageFacts(True, "m")),
        ({"choices": [{"text": "x", "finish_reason": "length"}]}, MessageFacts(True, finished=True)),
        ({"choices": [{"text": ""}], "usage": None}, MessageFacts()),
        ({"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}, MessageFacts(False, None, 2, None, 3)),
        ({"choices": [], "timings": LLAMA}, MessageFacts(False, None, 9, 4, 6)),
        (
            {"choices": [], "timings": LLAMA, "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            MessageFacts(False, None, 1, None, 2),
        ),
        ({"choices": [], "timings": {"predicted_n": 2}}, MessageFacts(generated=2)),
        ({"choices": "x", "usage": "y", "model": 3, "timings": []}, MessageFacts()),
        ({"choices": [1, {"delta": 2}], "usage": {"prompt_tokens": -1, "completion_tokens": True}}, MessageFacts()),
        ({"choices": [], "usage": {"prompt_tokens": 10**12, "completion_tokens": 1.5}}, MessageFacts()),
        ({"error": {"message": "x"}}, MessageFacts(failed=True)),
        ({"type": "response.created", "response": {"error": None, "model": "m"}}, MessageFacts(model="m")),
        ({"type": "response.output_text.delta", "delta": "x"}, MessageFacts(True)),
        ({"type": "response.reasoning_text.delta", "delta": "x"}, MessageFacts(True)),
        ({"type": "response.function_call_arguments.delta", "delta": ""}, MessageFacts()),
        ({"type": "response.output_item.added", "item": {}}, MessageFacts()),
        (
            {
                "type": "response.completed",
                "response": {
                    "model": "m",
                    "status": "completed",
                    "usage": {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3},
                },
            },
            MessageFacts(False, "m", 7, 2, 3, finished=True),
        ),
        ({"type": "response.failed", "response": {"error": {}}}, MessageFacts(failed=True)),
        (
            {"object": "response", "status": "incomplete", "usage": {"input_tokens": 7, "output_tokens": 3}},
            MessageFacts(False, None, 7, None, 3, finished=True),
        ),
        ({"object": "response", "status": "failed"}, MessageFacts(failed=True)),
        ({"type": "message_start", "message": {"model": "c", "usage": ANTHROPIC}}, MessageFacts(False, "c", 10, 3)),
        ({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, MessageFacts()),
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}}, MessageFacts(True)),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "x"}}, MessageFacts(True)),
        (
            {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}},
            MessageFacts(True),
        ),
        ({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}}, MessageFacts()),
        ({"type": "ping"}, MessageFacts()),
        ({"type": "message_delta", "usage": {"output_tokens": 8}}, MessageFacts(generated=8)),
        ({"type": "message_stop"}, MessageFacts(finished=True)),
        ({"type": "error"}, MessageFacts(failed=True)),
        ({"type": "message", "model": "c", "usage": ANTHROPIC}, MessageFacts(False, "c", 10, 3, 1, finished=True)),
        ({"model": "o", "response": "x", "done": False}, MessageFacts(True, "o")),
        ({"model": "o", "response": "", "thinking": "x", "done": False}, MessageFacts(True, "o")),
        ({"model": "o", "message": {"content": "x"}, "done": False}, MessageFacts(True, "o")),
        ({"model": "o", "message": {"content": "", "thinking": "x"}, "done": False}, MessageFacts(True, "o")),
        ({"model": "o", "message": {"content": "", "tool_calls": [{}]}, "done": False}, MessageFacts(True, "o")),
        (
            {"model": "o", "response": "", "done": True, "prompt_eval_count": 4, "eval_count": 5},
            MessageFacts(False, "o", 4, None, 5, finished=True),
        ),
        ({"content": "x", "stop": False}, MessageFacts(True)),
        (
            {"content": "", "stop": True, "model": "l", "timings": LLAMA},
            MessageFacts(False, "l", 9, 4, 6, finished=True),
        ),
        (
            {"content": "", "stop": True, "tokens_evaluated": 3, "tokens_predicted": 4},
            MessageFacts(False, None, 3, None, 4, finished=True),
        ),
        ({"content": "x"}, MessageFacts()),
        ([], MessageFacts()),
        (None, MessageFacts()),
        ("text", MessageFacts()),
    ],
)
def test_every_dialect_is_understood(message: object, expected: MessageFacts) -> None:
    """Content, tokens, model, end and error, from OpenAI's, Anthropic's, Ollama's and llama.cpp's own messages."""
    assert read_message(message) == expected


WORDS = (
    "choices",
    "delta",
    "text",
    "usage",
    "timings",
    "type",
    "response",
    "message",
    "done",
    "content",
    "stop",
    "model",
)
KINDS = ("response.completed", "response.x.delta", "message_start", "content_block_delta", "message_delta", "message")
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(("", "x", *KINDS))
messages = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner))


@given(messages)
def test_no_message_breaks_the_measuring(message: object) -> None:
    """Whatever JSON a server sends is understood or ignored; counts are whole and not negative."""
    facts = read_message(message)
    assert all(one is None or (isinstance(one, int) and one >= 0) for one in facts[2:5])
    assert facts.model is None or isinstance(facts.model, str)


def test_an_anthropic_stream() -> None:
    """Its events carry their names beside the data; prompt tokens come first, the others last."""
    start = {"type": "message_start", "message": {"model": "c", "usage": ANTHROPIC}}
    deltas = [{"type": "content_block_delta", "delta": {"text": "x"}}] * 2
    end = [{"type": "message_delta", "usage": {"output_tokens": 5}}, {"type": "message_stop"}]
    wire = b"".join(b"event: x\r\ndata: %s\r\n\r\n" % json.dumps(one).encode() for one in (start, *deltas, *end))
    told = record((11.0, wire), whole=False, gone=True)
    assert (*tokens(told), told.outcome, told.model) == (10, 3, 5, False, Outcome.SUCCESS, "c")


def test_an_ollama_stream() -> None:
    """One JSON object a line, the last without an end."""
    lines = [{"model": "o", "response": "x", "done": False}] * 3
    lines += [{"model": "o", "response": "", "done": True, "prompt_eval_count": 4, "eval_count": 9}]
    told = record((11.0, b"\n".join(json.dumps(line).encode() for line in lines)), kind=NDJSON)
    assert (*tokens(told), told.ttft_seconds, told.streaming) == (4, None, 9, False, 1.0, True)


streams = st.sampled_from(
    [
        (SSE, b"".join(chat_events(5, usage=(9, 1, 5)))),
        (SSE, b"".join(chat_events(4)).replace(b"\n", b"\r\n")),
        (SSE, b": ping\n\n" + b"".join(chat_events(2)) + b"\n\nid: 3\nretry: 5\n"),
        (SSE, b'data: {"choices":\ndata: [{"text": "x"}]}\n\n' + b"data:" + chat_events(1)[1][5:]),
        (SSE, b"".join(chat_events(3))[:-40]),
        (NDJSON, b'{"response": "x", "done": false}\n\n{"response": "\xc3\xa9", "done": true, "eval_count": 2}'),
        (JSON, b'{"choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 3}}'),
        (SSE, b"data: {broken\n\n"),
    ]
)


@given(streams, st.lists(st.integers(0, 5000), max_size=30), st.booleans())
@settings(deadline=None)
def test_however_the_bytes_are_cut_the_record_is_the_same(
    stream: tuple[str, bytes], at: list[int], zipped: bool
) -> None:
    """A piece may end anywhere, within a character too; compressed or not."""
    kind, wire = stream
    wire, encoding = (gzip.compress(wire), "gzip") if zipped else (wire, "")
    places = sorted({place % (len(wire) + 1) for place in at})
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True) if a < b]
    cut = measured(*((11.0, piece) for piece in pieces), kind=kind, encoding=encoding)
    assert cut == measured((11.0, wire), kind=kind, encoding=encoding)


@pytest.mark.parametrize(
    ("kind", "encoding", "wire"),
    [
        (SSE, "", b"data: no json\n\n"),
        (NDJSON, "", b"no json\n"),
        (JSON, "", b"no json"),
        (JSON, "", b""),
        (JSON, "", b'{"usage": ' + b"[" * 100_000),
        (SSE, "gzip", b"no gzip"),
        (SSE, "br", b"whatever"),
        ("audio/mpeg", "", b"whatever"),
        ("", "", b"whatever"),
    ],
)
def test_what_cannot_be_read_makes_no_record(kind: str, encoding: str, wire: bytes) -> None:
    """A record of half the truth would look like a whole one: it is shed as partial."""
    assert measured((11.0, wire), kind=kind, encoding=encoding) is Dropped.PARTIAL


@pytest.mark.parametrize(
    ("kind", "encoding", "wire", "times"),
    [
        (SSE, "", b"data: " + b"x" * 1000, 40_000),
        (SSE, "", b"data: x\n" * 1000, 4000),
        (NDJSON, "", b"x" * 1000, 40_000),
        (JSON, "", b"x" * 1000, 40_000),
        (SSE, "gzip", gzip.compress(b"x" * 300_000_000, 1), 1),
    ],
)
def test_an_endless_line_does_not_fill_memory(kind: str, encoding: str, wire: bytes, times: int) -> None:
    """Forty megabytes of one event, line or answer, or a bomb of gzip, are not kept; the request is shed as partial."""
    one = recorder()
    one.start_response(head(kind, encoding=encoding))
    tracemalloc.start()
    for _ in range(times):
        one.add_response_body([wire], 11.0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 3 * max(MAX_EVENT_BYTES, MAX_WHOLE_BYTES)
    assert one.finish(whole=True, gone=False, now=12.0) is Dropped.PARTIAL


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "llama", "messages": []}', "llama"),
        (b'{"messages": [{"role": "user", "content": "\\"model\\": \\"no\\""}], "model":"yes"}', "yes"),
        (b'{"tools": [{"properties": {"model": {"type": "string"}}}], "model" : "yes"}', "yes"),
        (b'{"messages": []}', ""),
        (b"\xff\xfe", ""),
    ],
)
def test_the_model_that_is_asked_for_is_found_in_any_pieces(body: bytes, model: str) -> None:
    """It is for requests that no answer names a model of; text of a prompt is not taken for it."""
    for size in (1, 3, 7, 1000):
        one = recorder()
        for at in range(0, len(body), size):
            one.add_request_body(body[at : at + size])
        assert one.requested_model == model


def test_no_text_of_a_prompt_or_an_answer_is_kept() -> None:
    """What a recorder holds when the request ends is numbers and the model's name."""
    one = recorder()
    one.add_request_body(b'{"messages": "hunter2"')
    one.start_response(head())
    one.add_response_body([event({"model": "m", "choices": [{"text": "hunter3"}]})], 11.0)
    held = {name: getattr(one, name) for name in vars(one)}
    assert "hunter2" not in repr(held)
    assert "hunter3" not in repr({**held, "reader": vars(held["_reader"]), "lines": vars(held["_reader"]._lines)})


def test_which_paths_make_records() -> None:
    """Generation by POST, whatever stands before the path; embeddings, model lists and metrics do not."""
    posts = ["/v1/chat/completions", "/openai/v1/completions/", "/api/generate", "/v1/messages", "/completion"]
    posts += ["/v1/chat/completion%73", "/v1%2Fmessages"]
    assert all(is_recorded(b"POST", path) for path in posts)
    others = ["/v1/embeddings", "/v1/models", "/metrics", "/", "/v1/chat", "/tokenize", "/v1/completions/x"]
    assert not any(is_recorded(b"POST", path) for path in others)
    assert not is_recorded(b"GET", "/v1/chat/completions")
