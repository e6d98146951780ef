"""The landing page over HTTP: the page, its static files and its event stream. Everything is rendered on demand."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page import document
from goodwatt.publish.page.assets import ASSETS, VERSION, Asset
from goodwatt.publish.page.cards import record_headlines
from goodwatt.publish.page.events import EventStream
from goodwatt.publish.page.history import History
from goodwatt.publish.page.live import live_event, live_nodes

PAGE_PATHS = (document.EVENTS, *(asset.path for asset in ASSETS))


class LandingPage:
    """Serves the latest snapshot that it was given. Not thread-safe."""

    def __init__(self, links: Iterable[document.NavigationLink], progress: Callable[[web.Request], None]) -> None:
        """`progress` is called whenever a client of the event stream has received bytes."""
        self._links = tuple(links)
        self._progress = progress
        self._stream = EventStream()
        self._history = History()
        self._about = About()
        self._snapshot: Snapshot | None = None
        self._page: bytes | None = None
        self._event: bytes | None = None

    def describe(self, about: About) -> None:
        """Use these facts from the next page rendered."""
        self._about, self._page, self._event = about, None, None

    def show(self, snapshot: Snapshot) -> None:
        """Serve this snapshot from now on, and send it to all open pages."""
        self._snapshot, self._page, self._event = snapshot, None, None
        record_headlines(self._history, snapshot)
        self._stream.send(lambda: self._newest_event() or b"")

    def close(self) -> None:
        """End all event streams immediately."""
        self._stream.close()

    def routes(self, home: bool) -> list[web.RouteDef]:
        """Return the routes; without `home` only the static files, which the 404 page needs."""
        files = [web.get(asset.path, _serve(asset)) for asset in ASSETS]
        return [*files, web.get("/", self._home), web.get(document.EVENTS, self._events)] if home else files

    def not_found(self, request: web.Request) -> web.Response:
        """Return the 404 page, with links to the pages that exist."""
        return _html(document.not_found_page(request.path, self._links), 404)

    async def _home(self, _: web.Request) -> web.Response:
        if self._page is None:
            self._page = document.landing_page(self._snapshot, self._about, self._links, self._history)
        return _html(self._page)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream.serve(request, self._newest_event, lambda: self._progress(request))

    def _newest_event(self) -> bytes | None:
        if self._event is None and self._snapshot is not None:
            nodes = live_nodes(self._snapshot, self._about, self._history)
            self._event = live_event(self._snapshot, VERSION, nodes)
        return self._event


def _html(page: bytes, status: int = 200) -> web.Response:
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": document.CONTENT_SECURITY_POLICY,
        "Content-Type": "text/html; charset=utf-8",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(body=page, status=status, headers=headers)


def _serve(asset: Asset) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Serve a file that browsers cache but revalidate each time, so that an upgrade takes effect immediately."""
    headers = {"Cache-Control": "no-cache", "Content-Type": f"{asset.content_type}; charset=utf-8"}

    async def serve(request: web.Request) -> web.Response:
        known = any(tag.value in (asset.tag, "*") for tag in request.if_none_match or ())
        response = web.Response(status=304) if known else web.Response(body=asset.body, headers=headers)
        response.etag = asset.tag
        return response

    return serve
