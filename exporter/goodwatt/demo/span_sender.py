"""Sends the simulated servers' spans as vLLM does, over OTLP/HTTP; in JSON, which needs no dependency."""

import asyncio
import hashlib
import socket
from collections.abc import Sequence
from typing import Any

import aiohttp

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.demo.engine import SimulatedEngine
from goodwatt.demo.request_times import RequestTimes

HOST, PATH = "127.0.0.1", "/v1/traces"
PAUSE_SECONDS = 0.5
_PATIENCE = aiohttp.ClientTimeout(total=5)


def free_port() -> int:
    """Return a loopback port that is not in use now, for the receiver."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class SpanSender:
    """Sends each request that ends from now on, once. While the receiver is down it retries with all pending ones."""

    def __init__(self, engines: Sequence[ClockedEngine], port: int, epoch_seconds: float) -> None:
        self._sent = {engine.spec.name: engine.read_now(_seen)[0] for engine in engines}
        self._engines = engines
        self._url = f"http://{HOST}:{port}{PATH}"
        self._epoch_ns = round(epoch_seconds * NANOSECONDS)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Send every PAUSE_SECONDS in a background task."""
        self._task = asyncio.create_task(self._keep_sending())

    async def aclose(self) -> None:
        """Stop sending. May be called again."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def send(self, client: aiohttp.ClientSession) -> bool:
        """Send the requests that ended since the last success. Returns whether the receiver accepted them."""
        seen = {engine.spec.name: engine.read_now(_seen) for engine in self._engines}
        groups = [self._group(name, ended, records) for name, (ended, records) in seen.items()]
        try:
            async with client.post(self._url, json={"resourceSpans": groups}, timeout=_PATIENCE) as answer:
                taken = answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            taken = False
        self._sent = {name: ended for name, (ended, _) in seen.items()} if taken else self._sent
        return taken

    async def _keep_sending(self) -> None:
        async with aiohttp.ClientSession() as client:
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                await self.send(client)

    def _group(self, name: str, ended: int, records: Sequence[RequestTimes]) -> dict[str, Any]:
        """Return the new spans of one server; disconnected clients have none, as with vLLM."""
        forgotten = ended - len(records)
        new = records[max(self._sent[name] - forgotten, 0) :]
        spans = [self._span(name, record) for record in new if record.succeeded]
        return {"resource": {"attributes": _attributes({"service.name": name})}, "scopeSpans": [{"spans": spans}]}

    def _span(self, server: str, record: RequestTimes) -> dict[str, Any]:
        key = hashlib.sha256(f"{server} {record.request.number}".encode()).hexdigest()
        return {
            "traceId": key[:32],
            "spanId": key[32:48],
            "name": "llm_request",
            "kind": 2,
            "startTimeUnixNano": str(self._epoch_ns + record.request.arrival_ns),
            "endTimeUnixNano": str(self._epoch_ns + record.ended_ns),
            "attributes": _attributes(
                {
                    "gen_ai.latency.time_to_first_token": record.ttft_ns / NANOSECONDS,
                    "gen_ai.latency.e2e": record.e2e_ns / NANOSECONDS,
                    "gen_ai.latency.time_in_model_decode": (record.ended_ns - record.first_token_ns) / NANOSECONDS,
                    "gen_ai.usage.prompt_tokens": record.request.prompt_tokens,
                    "gen_ai.usage.completion_tokens": record.request.output_tokens,
                }
            ),
        }


def _seen(engine: SimulatedEngine) -> tuple[int, tuple[RequestTimes, ...]]:
    """Return how many requests have ended, and the latest of them."""
    return engine.truth.succeeded + engine.truth.disconnected, tuple(engine.truth.records)


def _attributes(values: dict[str, str | int | float]) -> list[dict[str, Any]]:
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if isinstance(value, int) else value}}
        for key, value in values.items()
    ]
