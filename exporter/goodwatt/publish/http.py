"""The web server: serves the latest snapshot and never waits for a source."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.formats import ExpositionPages, negotiate
from goodwatt.publish.metrics.row import About
from goodwatt.publish.metrics.table import metric_table
from goodwatt.publish.page.document import NavigationLink
from goodwatt.publish.page.routes import PAGE_PATHS, LandingPage
from goodwatt.web.address import Address, cannot_listen, parse_address
from goodwatt.web.connection_limits import WebServerLogger
from goodwatt.web.listener import LISTENER_CLOSE_SECONDS, WebListener
from goodwatt.web.plain_text import text_response

__all__ = ["About", "Address", "Publisher", "Reload", "Reloaded", "parse_address"]

log = logging.getLogger(__name__)

HEALTHY = "/-/healthy"
READY = "/-/ready"
CONFIG = "/config"
RELOAD = "/-/reload"
STALE_SECONDS = 30.0
STALE_INTERVALS = 3

_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")


class Reloaded(NamedTuple):
    """The result of a reload; `text` explains it in one or more lines."""

    ok: bool
    text: str


Reload = Callable[[], Awaitable[Reloaded]]
RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Publisher:
    """Serves the snapshot in `latest`. Set it only from the event loop that serves."""

    def __init__(
        self,
        about: About,
        *,
        telemetry_path: str = "/metrics",
        config_text: str = "",
        unhealthy: Callable[[], str | None] = lambda: None,
        reload: Reload | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`config_text` is served unchanged. `unhealthy` returns one line when only a restart helps, else None.

        POST or PUT /-/reload calls `reload`; without one the answer is 403. `clock` must be the clock of the
        snapshots. Raises ValueError if the telemetry path cannot be served.
        """
        self._about = about
        self._path = checked_path(telemetry_path)
        self._config_text = config_text
        self._unhealthy = unhealthy
        self._reload = reload
        self._pending: tuple[About, str] | None = None
        self._clock = clock
        self._pages = ExpositionPages(metric_table(about), clock)
        self._started = clock()
        self._landing = LandingPage(self._links(), self._count_request)
        self._landing.describe(about)
        self._listening: WebListener | None = None

    @property
    def latest(self) -> Snapshot | None:
        """Return the snapshot being served; None before the first."""
        return self._pages.latest

    @latest.setter
    def latest(self, snapshot: Snapshot) -> None:
        if self._pending is not None:
            self._about, self._config_text = self._pending
            self._pending = None
            self._pages.describe(metric_table(self._about))
            self._landing.describe(self._about)
        self._pages.show(snapshot)
        self._landing.show(snapshot)

    def publish(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on, as setting `latest` does."""
        self.latest = snapshot

    def adopt(self, about: About, config_text: str) -> None:
        """Serve these from the next snapshot on, so that no page mixes two configurations."""
        self._pending = about, config_text

    def update_about(self, about: About) -> None:
        """Update `about` immediately and keep the snapshot and the configuration being served."""
        self._pending = about, self._config_text
        if self.latest is not None:
            self.latest = self.latest

    async def start(self, host: str, port: int) -> Address:
        """Start listening and return the bound address, with the port the system chose if `port` is 0.

        An empty host means every interface. Raises OSError whose `strerror` is one line that says what to do.
        """
        runner = web.AppRunner(
            self._application(), access_log=None, logger=WebServerLogger(log), shutdown_timeout=LISTENER_CLOSE_SECONDS
        )
        self._listening = WebListener(runner, self._clock)
        try:
            await self._listening.start(Address(host, port))
        except OSError as error:
            raise OSError(error.errno, cannot_listen(Address(host, port), error)) from error
        return Address(host, self._listening.port)

    async def aclose(self) -> None:
        """Stop within about LISTENER_CLOSE_SECONDS whatever clients do; safe to call twice."""
        self._landing.close()
        if self._listening is not None:
            await self._listening.aclose()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.router.add_get(self._path, self._metrics)
        application.router.add_routes(self._landing.routes(home=self._path != "/"))
        application.router.add_get(HEALTHY, self._healthy)
        application.router.add_get(READY, self._ready)
        application.router.add_get(CONFIG, self._config)
        application.router.add_post(RELOAD, self._reloaded)
        application.router.add_put(RELOAD, self._reloaded)
        return application

    def _count_request(self, request: web.Request) -> None:
        assert self._listening is not None
        self._listening.request_received(request)

    @web.middleware
    async def _guard(self, request: web.Request, handler: RequestHandler) -> web.StreamResponse:
        self._count_request(request)
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            response = self._landing.not_found(request)
        except web.HTTPMethodNotAllowed as error:
            allowed = sorted(error.allowed_methods)
            response = text_response(f"{error.method[:20]} is not allowed here; use {' or '.join(allowed)}", 405)
            response.headers["Allow"] = ", ".join(allowed)
        response.headers["Server"] = "goodwatt"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        variant = negotiate(request.headers.get("Accept"), request.headers.get("Accept-Encoding"))
        body = self._pages.page(variant)
        if body is None:
            return text_response("no readings yet; the first tick is in progress", 503)
        headers = {"Content-Type": variant.format.value, "Vary": "Accept, Accept-Encoding"}
        if variant.gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _healthy(self, _: web.Request) -> web.Response:
        problem = self._unhealthy() or staleness(self.latest, self._clock(), self._started)
        return text_response("ok") if problem is None else text_response(problem, 503)

    async def _ready(self, _: web.Request) -> web.Response:
        return (
            text_response("no readings yet; the first tick is in progress", 503)
            if self.latest is None
            else text_response("ok")
        )

    async def _config(self, _: web.Request) -> web.Response:
        return text_response(self._config_text)

    async def _reloaded(self, _: web.Request) -> web.Response:
        if self._reload is None:
            return text_response(
                "reloading over HTTP is disabled; start with --web.enable-lifecycle, or send SIGHUP", 403
            )
        result = await self._reload()
        return text_response(result.text, 200 if result.ok else 500)

    def _links(self) -> tuple[NavigationLink, ...]:
        return (
            NavigationLink(self._path, "metrics"),
            NavigationLink(CONFIG, "configuration"),
            NavigationLink(HEALTHY, "healthy"),
            NavigationLink(READY, "ready"),
        )


def checked_path(path: str) -> str:
    """Return the telemetry path if it can be served. Raises ValueError with one line that says what to use instead."""
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"telemetry path {path[:80]!r} must start with '/' and contain only letters, digits and '/-._~'"
        )
    if path in (HEALTHY, READY, CONFIG, RELOAD, *PAGE_PATHS):
        raise ValueError(f"telemetry path {path!r} is reserved by goodwatt; choose another, such as /metrics")
    return path


def staleness(latest: Snapshot | None, now: float, started: float) -> str | None:
    """Return one line if ticks have stopped: the latest snapshot is older than both 3 intervals and 30 s."""
    since = started if latest is None else latest.at_seconds
    interval = 0.0 if latest is None else latest.policy.interval_seconds
    age = now - since
    if age <= max(STALE_INTERVALS * interval, STALE_SECONDS):
        return None
    return f"no tick has completed for {age:.0f} s; restart goodwatt and report its log"
