"""vLLM's spans: every latency of every request by the server's own clock."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes.otlp import PATH
from tests.real.bench import Latencies

# As in docs/otlp.md, with the 5 s delay shortened to save time.
SENDING = {
    "OTEL_SERVICE_NAME": "vllm",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_BSP_SCHEDULE_DELAY": "500",
}
PATIENCE_SECONDS = 30.0  # for spans already sent or due after their delay
_OF_BENCH = re.compile(r".*-bench-(?P<run>[0-9a-f]+)-(?P<number>[0-9]+)(-[0-9]+)?")


@dataclass
class SpanLatencies:
    """Latencies by bench run, in the order of the runs, and by request number."""

    port: int
    runs: dict[str, dict[int, Latencies]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The endpoint for a server's spans."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def latest(self, runs: int, requests: int) -> tuple[Latencies, ...]:
        """The latest that many runs once complete, in the order in which the bench lists them."""
        end = time.monotonic() + PATIENCE_SECONDS
        while [len(run) for run in self.runs.values()][runs - 1 :] != [requests]:
            assert time.monotonic() < end, f"not {requests} spans in run {runs}: {list(map(len, self.runs.values()))}"
            await asyncio.sleep(0.1)
        run = list(self.runs.values())[-1]
        return tuple(run[number] for number in sorted(run))

    def note(self, body: bytes) -> None:
        """Record every request of a bench."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for span in (span for scope in group.scope_spans for span in scope.spans):
                values = {one.key: one.value for one in span.attributes}
                found = (
                    _OF_BENCH.fullmatch(values["gen_ai.request.id"].string_value)
                    if "gen_ai.request.id" in values
                    else None
                )
                if found:
                    ttft, e2e = (
                        values[f"gen_ai.latency.{name}"].double_value for name in ("time_to_first_token", "e2e")
                    )
                    decode = values["gen_ai.latency.time_in_model_decode"].double_value
                    tokens = values["gen_ai.usage.completion_tokens"].int_value
                    run = self.runs.setdefault(found["run"], {})
                    run[int(found["number"])] = Latencies(ttft, decode / (tokens - 1), e2e)


Answer = Callable[[SpanLatencies, web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def collected() -> AsyncIterator[SpanLatencies]:
    """A receiver that records everything."""

    async def noted(latencies: SpanLatencies, request: web.Request) -> web.Response:
        latencies.note(await request.read())
        return web.Response(content_type=request.content_type)

    async with _listening(noted) as latencies:
        yield latencies


@asynccontextmanager
async def seen_on_the_way(goodwatt_port: int) -> AsyncIterator[SpanLatencies]:
    """A listener that forwards every request to goodwatt's receiver unchanged and returns its response.

    While goodwatt is down, it asks the server to retry.
    """
    async with aiohttp.ClientSession(f"http://127.0.0.1:{goodwatt_port}") as client:

        async def passed(latencies: SpanLatencies, request: web.Request) -> web.Response:
            body = await request.read()
            headers = {"Content-Type": request.content_type}
            try:
                async with client.post(PATH, data=body, headers=headers) as answer:
                    status, said = answer.status, await answer.read()
            except aiohttp.ClientConnectorError:
                return web.Response(status=503)
            if status == 200:
                latencies.note(body)
            return web.Response(status=status, body=said, content_type=request.content_type)

        async with _listening(passed) as latencies:
            yield latencies


@asynccontextmanager
async def _listening(answer: Answer) -> AsyncIterator[SpanLatencies]:
    async def answered(request: web.Request) -> web.Response:
        return await answer(latencies, request)

    application = web.Application(client_max_size=1 << 26)
    application.router.add_post(PATH, answered)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    latencies = SpanLatencies(runner.addresses[0][1])
    try:
        yield latencies
    finally:
        await runner.cleanup()
