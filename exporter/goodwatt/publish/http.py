"""The web server: it shows the latest snapshot, and never waits for a source."""

import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition.formats import Pages, choose
from goodwatt.publish.metrics.row import About
from goodwatt.publish.metrics.table import metric_table
from goodwatt.publish.page.document import Link
from goodwatt.publish.page.routes import PATHS, Front
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
    """How a reload ended, in one line or more."""

    ok: bool
    text: str


Reload = Callable[[], Awaitable[Reloaded]]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Publisher:
    """Serves what `latest` was set to last. Set it from the event loop that serves."""

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
        """`config_text` is shown as it is. `unhealthy` gives one line when only a restart helps, else None.

        `reload` is what a POST or PUT of /-/reload asks for; without it the answer is 403. `clock` is the one that
        snapshots are stamped with. Raises ValueError for a telemetry path that cannot be.
        """
        self._about = about
        self._path = checked_path(telemetry_path)
        self._config_text = config_text
        self._unhealthy = unhealthy
        self._reload = reload
        self._adopted: tuple[About, str] | None = None
        self._clock = clock
        self._pages = Pages(metric_table(about), clock)
        self._began = clock()
        self._front = Front(self._links(), self._note)
        self._front.describe(about)
        self._listening: WebListener | None = None

    @property
    def latest(self) -> Snapshot | None:
        """The snapshot that is served; None before the first."""
        return self._pages.latest

    @latest.setter
    def latest(self, snapshot: Snapshot) -> None:
        if self._adopted is not None:
            self._about, self._config_text = self._adopted
            self._adopted = None
            self._pages.describe(metric_table(self._about))
            self._front.describe(self._about)
        self._pages.turn(snapshot)
        self._front.turn(snapshot)

    def publish(self, snapshot: Snapshot) -> None:
        """The same as setting `latest`."""
        self.latest = snapshot

    def adopt(self, about: About, config_text: str) -> None:
        """Show these from the next snapshot on, so that no page mixes two configurations."""
        self._adopted = about, config_text

    def tell(self, about: About) -> None:
        """Show this now, with the snapshot and the configuration that are shown already."""
        self._adopted = about, self._config_text
        if self.latest is not None:
            self.latest = self.latest

    async def start(self, host: str, port: int) -> Address:
        """Listen; an empty host is every interface. Gives the address with the port that the system chose for 0.

        Raises OSError whose `strerror` is one line that says what to do.
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
        """Stop within about SHUTDOWN_SECONDS, whatever clients do; harmless when repeated."""
        self._front.close()
        if self._listening is not None:
            await self._listening.aclose()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard])
        application.router.add_get(self._path, self._metrics)
        application.router.add_routes(self._front.routes(home=self._path != "/"))
        application.router.add_get(HEALTHY, self._healthy)
        application.router.add_get(READY, self._ready)
        application.router.add_get(CONFIG, self._config)
        application.router.add_post(RELOAD, self._reloaded)
        application.router.add_put(RELOAD, self._reloaded)
        return application

    def _note(self, request: web.Request) -> None:
        assert self._listening is not None
        self._listening.request_received(request)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Answer) -> web.StreamResponse:
        self._note(request)
        try:
            response = await handler(request)
        except web.HTTPNotFound:
            response = self._front.not_found(request)
        except web.HTTPMethodNotAllowed as refused:
            allowed = sorted(refused.allowed_methods)
            response = text_response(f"{refused.method[:20]} is not possible here; use {' or '.join(allowed)}", 405)
            response.headers["Allow"] = ", ".join(allowed)
        response.headers["Server"] = "goodwatt"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _metrics(self, request: web.Request) -> web.Response:
        variant = choose(request.headers.get("Accept"), request.headers.get("Accept-Encoding"))
        body = self._pages.page(variant)
        if body is None:
            return text_response("no readings yet; the first tick is under way", 503)
        headers = {"Content-Type": variant.format.value, "Vary": "Accept, Accept-Encoding"}
        if variant.gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)

    async def _healthy(self, _: web.Request) -> web.Response:
        wrong = self._unhealthy() or stale(self.latest, self._clock(), self._began)
        return text_response("ok") if wrong is None else text_response(wrong, 503)

    async def _ready(self, _: web.Request) -> web.Response:
        return (
            text_response("no readings yet; the first tick is under way", 503)
            if self.latest is None
            else text_response("ok")
        )

    async def _config(self, _: web.Request) -> web.Response:
        return text_response(self._config_text)

    async def _reloaded(self, _: web.Request) -> web.Response:
        if self._reload is None:
            return text_response("reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP", 403)
        done = await self._reload()
        return text_response(done.text, 200 if done.ok else 500)

    def _links(self) -> tuple[Link, ...]:
        return (
            Link(self._path, "metrics"),
            Link(CONFIG, "configuration"),
            Link(HEALTHY, "healthy"),
            Link(READY, "ready"),
        )


def checked_path(path: str) -> str:
    """A telemetry path that can be served. Raises ValueError, one line that says what to write instead."""
    if not _PATH.fullmatch(path):
        raise ValueError(f"telemetry path {path[:80]!r} must begin with '/' and hold only letters, digits and '/-._~'")
    if path in (HEALTHY, READY, CONFIG, RELOAD, *PATHS):
        raise ValueError(f"telemetry path {path!r} is taken by goodwatt itself; choose another, for instance /metrics")
    return path


def stale(latest: Snapshot | None, now: float, began: float) -> str | None:
    """One line when ticks have stopped: the newest snapshot is older than 3 intervals and than 30 s."""
    since = began if latest is None else latest.at_seconds
    interval = 0.0 if latest is None else latest.policy.interval_seconds
    age = now - since
    if age <= max(STALE_INTERVALS * interval, STALE_SECONDS):
        return None
    return f"no tick has ended for {age:.0f} s; restart goodwatt and report its log"
