"""What vLLM sends to goodwatt, seen on the way: every latency of every request by the server's own clock."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.fakes.otlp import PATH
from tests.real.bench import Latencies

_OF_BENCH = re.compile(r".*-bench-(?P<run>[0-9a-f]+)-(?P<number>[0-9]+)(-[0-9]+)?")


@dataclass
class Passed:
    """Latencies by run of the bench, in the order of the runs, and by number of the request."""

    port: int
    runs: dict[str, dict[int, Latencies]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where a server has to send its spans."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def latest(self) -> tuple[Latencies, ...]:
        """Those of the latest run, in the order in which the bench lists its requests."""
        run = list(self.runs.values())[-1]
        return tuple(run[number] for number in sorted(run))

    def note(self, body: bytes) -> None:
        """Take note of every request of a bench."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            for span in (span for scope in group.scope_spans for span in scope.spans):
                told = {one.key: one.value for one in span.attributes}
                found = (
                    _OF_BENCH.fullmatch(told["gen_ai.request.id"].string_value) if "gen_ai.request.id" in told else None
                )
                if found:
                    ttft, e2e = (told[f"gen_ai.latency.{name}"].double_value for name in ("time_to_first_token", "e2e"))
                    decode = told["gen_ai.latency.time_in_model_decode"].double_value
                    tokens = told["gen_ai.usage.completion_tokens"].int_value
                    run = self.runs.setdefault(found["run"], {})
                    run[int(found["number"])] = Latencies(ttft, decode / (tokens - 1), e2e)


@asynccontextmanager
async def seen_on_the_way(goodwatt_port: int) -> AsyncIterator[Passed]:
    """A listener that passes every request on to goodwatt's receiver as it is, and the answer back.

    While goodwatt is not there, the server is told to come again.
    """
    async with aiohttp.ClientSession(f"http://127.0.0.1:{goodwatt_port}") as client:

        async def passed(request: web.Request) -> web.Response:
            body = await request.read()
            headers = {"Content-Type": request.content_type}
            try:
                async with client.post(PATH, data=body, headers=headers) as answer:
                    status, told = answer.status, await answer.read()
            except aiohttp.ClientConnectorError:
                return web.Response(status=503)
            if status == 200:
                seen.note(body)
            return web.Response(status=status, body=told, content_type=request.content_type)

        application = web.Application(client_max_size=1 << 26)
        application.router.add_post(PATH, passed)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        seen = Passed(runner.addresses[0][1])
        try:
            yield seen
        finally:
            await runner.cleanup()
