"""An HTTP server on loopback for one simulated engine, with faults that can be injected."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from goodwatt.demo.clocked_engine import ClockedEngine
from goodwatt.demo.metrics_page import render_metrics_page
from goodwatt.demo.report import truth_report

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HOST = "127.0.0.1"
SHUTDOWN_SECONDS = 0.5


class ServerFaults:
    """The current faults of a server; none at first."""

    def __init__(self, engine: ClockedEngine) -> None:
        self.http_status: int | None = None  # if set, the status of every response
        self._engine = engine
        self._answering = asyncio.Event()
        self._answering.set()

    def restart(self) -> None:
        """Drop all requests and reset every counter on the page."""
        self._engine.read_now(lambda engine: engine.restart())

    def slow_down(self, factor: float) -> None:
        """Make every later step take `factor` times as long; 1 is healthy. Raises ValueError unless above 0."""
        self._engine.read_now(lambda engine: engine.slow_down(factor))

    def hang(self) -> None:
        """Accept requests but answer none until `release`."""
        self._answering.clear()

    def release(self) -> None:
        """Answer again, including the requests that waited."""
        self._answering.set()

    async def answering(self) -> None:
        """Wait until the server does not hang."""
        await self._answering.wait()


class EngineServer:
    """Serves /metrics, /truth, /health and /v1/models for one engine; `url` is empty until it has started."""

    def __init__(self, engine: ClockedEngine, epoch_seconds: float) -> None:
        self.engine = engine
        self.faults = ServerFaults(engine)
        self.url = ""
        self._epoch_seconds = epoch_seconds
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0 lets the system choose. Raises OSError if the port is in use."""
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def aclose(self) -> None:
        """Stop listening, even while it hangs."""
        self.faults.release()
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._with_faults])
        application.router.add_get("/", self._about)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/truth", self._truth)
        application.router.add_get("/health", self._health)
        application.router.add_get("/v1/models", self._models)
        return application

    @web.middleware
    async def _with_faults(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        await self.faults.answering()
        if self.faults.http_status is not None:
            return web.Response(status=self.faults.http_status, text="simulated fault\n")
        return await handler(request)

    async def _about(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "simulated": True,
                "server": self.engine.spec.name,
                "paths": ["/metrics", "/truth", "/health", "/v1/models"],
            }
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        text = self.engine.read_now(lambda engine: render_metrics_page(engine, self._epoch_seconds))
        response = web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})
        response.enable_compression()
        return response

    async def _truth(self, _: web.Request) -> web.Response:
        return web.json_response(self.engine.read_now(truth_report))

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="simulated: ok\n")

    async def _models(self, _: web.Request) -> web.Response:
        model = {"id": self.engine.spec.model, "object": "model", "owned_by": "goodwatt-demo-simulated"}
        return web.json_response({"object": "list", "data": [model]})
