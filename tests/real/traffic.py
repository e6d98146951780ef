"""Clients of an inference server that add up the usage in its responses."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

QUESTIONS = (
    "Name three rivers.",
    "Write one line about the sea.",
    "What is the sum of two and three, and why does it not depend on the order?",
    "List the days of the week and the months of the year, one a line.",
)


@dataclass(frozen=True)
class Usage:
    """The sum of the usage in the responses."""

    requests: int = 0
    prompt: int = 0
    cached: int = 0
    generated: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.generated + other.generated,
        )


async def load(url: str, model: str, requests: int, concurrency: int = 4) -> Usage:
    """Send that many chats, every other one streamed, with 1 to 24 tokens each. Repeated prompts hit prefix caches."""
    gate = asyncio.Semaphore(concurrency)
    connector = aiohttp.TCPConnector(force_close=True)  # llama-server closes kept-alive connections
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one(number: int) -> Usage:
            async with gate:
                return await _chat(session, url, _body(model, number))

        return sum(await asyncio.gather(*(one(number) for number in range(requests))), Usage())


async def hang_up(url: str, model: str) -> None:
    """Start one long streamed chat and disconnect after its first tokens."""
    body = {**_body(model, 1), "max_tokens": 1500, "min_tokens": 1500}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
        session.post(f"{url}/v1/chat/completions", json=body) as answer,
    ):
        answer.raise_for_status()
        for _ in range(10):
            await answer.content.readline()


def _body(model: str, number: int) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}],
        "max_tokens": 1 + 7 * number % 24,
        "seed": number,
    }
    return body | {"stream": True, "stream_options": {"include_usage": True}} if number % 2 else body


async def _chat(session: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Usage:
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        text = await answer.text()
    used = _last_usage(text) if "stream" in body else json.loads(text)["usage"]
    details = used.get("prompt_tokens_details") or {}
    return Usage(1, used["prompt_tokens"], details.get("cached_tokens") or 0, used["completion_tokens"])


def _last_usage(stream: str) -> dict[str, Any]:
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: {")]
    used: dict[str, Any] = json.loads(events[-1])["usage"]
    return used
