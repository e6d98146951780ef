"""Reads one JSON message of an inference server: content, tokens, model, error, end. Its keys identify its format.

Five formats: OpenAI chat and text completions, OpenAI responses, Anthropic messages, Ollama's native API, and
llama.cpp's native completion.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

# Suffixes of the paths that generate tokens. Requests to any other path are forwarded but not recorded.
GENERATION_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/api/chat",
    "/api/generate",
    "/chat/completions",
    "/completions",
    "/completion",
    "/infill",
)
_TEXTS = ("content", "reasoning_content", "reasoning", "refusal", "thinking")
_DELTAS = ("text", "thinking", "partial_json")
MAX_TOKEN_COUNT = 10**9

Message = Mapping[str, Any]


class MessageFacts(NamedTuple):
    """Facts in one message. Token counts are totals of the request; `prompt` includes cached ones."""

    content: bool = False
    model: str | None = None
    prompt: int | None = None
    cached: int | None = None
    generated: int | None = None
    failed: bool = False
    finished: bool = False  # marks the response as complete
    choices: int = 1  # number of choices seen in this message (OpenAI's `n`)


def is_recorded(method: bytes, path: str) -> bool:
    """Whether the request generates tokens. Percent-encoding is decoded first, as servers do."""
    return method == b"POST" and unquote(path).rstrip("/").endswith(GENERATION_PATHS)


def read_message(message: object) -> MessageFacts:
    """Read one message. A message of an unknown format yields empty facts."""
    if not isinstance(message, dict):
        return MessageFacts()
    if message.get("error") or message.get("object") == "error" or message.get("status") == "failed":
        return MessageFacts(failed=True, model=_text(message.get("model")))
    kind = message.get("type")
    if isinstance(kind, str):
        return _response(message, kind) if kind.startswith("response.") else _anthropic(message, kind)
    if "choices" in message:
        return _completion(message)
    if message.get("object") == "response":
        return _responded(message)
    return _ollama(message) if "done" in message else _llamacpp(message)


def _completion(message: Message) -> MessageFacts:
    choices = [choice for choice in _list(message["choices"]) if isinstance(choice, dict)]
    prompt, cached, generated = _usage(message)
    return MessageFacts(
        any(map(_has_content, choices)),
        _text(message.get("model")),
        prompt,
        cached,
        generated,
        finished=any(choice.get("finish_reason") for choice in choices),
        choices=1 + max((_count(choice.get("index")) or 0 for choice in choices), default=0),
    )


def _has_content(choice: Message) -> bool:
    """Whether it carries tokens; the chunk that only names the role does not."""
    if choice.get("text"):
        return True
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return False
    return any(delta.get(key) for key in (*_TEXTS, "tool_calls", "function_call", "audio"))


def _usage(message: Message) -> tuple[int | None, int | None, int | None]:
    """Return prompt, cached and generated tokens from OpenAI's usage or llama.cpp's timings."""
    usage = message.get("usage")
    if isinstance(usage, dict):
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        return _count(usage.get("prompt_tokens")), _count(cached), _count(usage.get("completion_tokens"))
    return _timings(message)


def _timings(message: Message) -> tuple[int | None, int | None, int | None]:
    timings = message.get("timings")
    if not isinstance(timings, dict):
        return None, None, None
    computed, cached = _count(timings.get("prompt_n")), _count(timings.get("cache_n"))
    prompt = None if computed is None or cached is None else computed + cached
    return prompt, cached, _count(timings.get("predicted_n"))


def _response(message: Message, kind: str) -> MessageFacts:
    """Read an event of OpenAI's responses API."""
    if kind.endswith(".delta"):
        return MessageFacts(bool(message.get("delta")))
    response = message.get("response")
    if kind == "response.failed":
        return MessageFacts(failed=True)
    if not isinstance(response, dict):
        return MessageFacts()
    facts = _responded(response)
    return facts._replace(finished=kind in ("response.completed", "response.incomplete"))


def _responded(response: Message) -> MessageFacts:
    prompt, cached, generated = _input_output(response.get("usage"), "input_tokens_details", "cached_tokens")
    finished = response.get("status") in ("completed", "incomplete")
    return MessageFacts(False, _text(response.get("model")), prompt, cached, generated, finished=finished)


def _input_output(usage: object, details: str, key: str) -> tuple[int | None, int | None, int | None]:
    if not isinstance(usage, dict):
        return None, None, None
    inner = usage.get(details)
    cached = _count(inner.get(key)) if isinstance(inner, dict) else None
    return _count(usage.get("input_tokens")), cached, _count(usage.get("output_tokens"))


def _anthropic(message: Message, kind: str) -> MessageFacts:
    """Read an Anthropic event or whole message. Its input tokens exclude cache reads and writes."""
    if kind == "content_block_delta":
        delta = message.get("delta")
        return MessageFacts(isinstance(delta, dict) and any(delta.get(key) for key in _DELTAS))
    if kind not in ("message_start", "message_delta", "message_stop", "message"):
        return MessageFacts(failed=kind == "error")
    inner = message.get("message")
    whole = inner if isinstance(inner, dict) else message
    usage = whole.get("usage")
    used = usage if isinstance(usage, dict) else {}
    fresh, cached, written = (
        _count(used.get(key)) for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    prompt = None if fresh is None or kind == "message_delta" else fresh + (cached or 0) + (written or 0)
    finished = kind in ("message_stop", "message")
    generated = None if kind == "message_start" else _count(used.get("output_tokens"))
    return MessageFacts(False, _text(whole.get("model")), prompt, cached, generated, finished=finished)


def _ollama(message: Message) -> MessageFacts:
    inner = message.get("message")
    chat = inner if isinstance(inner, dict) else {}
    content = message.get("response") or message.get("thinking")
    content = content or any(chat.get(key) for key in (*_TEXTS, "tool_calls"))
    return MessageFacts(
        bool(content),
        _text(message.get("model")),
        _count(message.get("prompt_eval_count")),
        None,
        _count(message.get("eval_count")),
        finished=message["done"] is True,
    )


def _llamacpp(message: Message) -> MessageFacts:
    """Read llama.cpp's native completion. Its final prompt count includes cached tokens."""
    if "content" not in message or "stop" not in message:
        return MessageFacts()
    prompt, cached, generated = _timings(message)
    if generated is None and message["stop"] is True:
        prompt, generated = _count(message.get("tokens_evaluated")), _count(message.get("tokens_predicted"))
    return MessageFacts(
        bool(message["content"]),
        _text(message.get("model")),
        prompt,
        cached,
        generated,
        finished=message["stop"] is True,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    """Return a plausible number of tokens, or None."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_TOKEN_COUNT else None
