"""The front page over HTTP: itself, its files, and its stream. What nobody asks for is never made."""

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.metrics.row import About
from goodwatt.publish.page import document
from goodwatt.publish.page.assets import ASSETS, VERSION, Asset
from goodwatt.publish.page.cards import remember
from goodwatt.publish.page.events import Feed
from goodwatt.publish.page.history import History
from goodwatt.publish.page.live import event, live

PATHS = (document.EVENTS, *(asset.path for asset in ASSETS))


class Front:
    """Shows the snapshot that it was turned to last. Not for use from several threads."""

    def __init__(self, links: Iterable[document.Link], asked: Callable[[web.Request], None]) -> None:
        """`asked` notes that a client takes what it is sent."""
        self._links = tuple(links)
        self._asked = asked
        self._feed = Feed()
        self._history = History()
        self._about = About()
        self._snapshot: Snapshot | None = None
        self._page: bytes | None = None
        self._event: bytes | None = None

    def describe(self, about: About) -> None:
        """Say this of the program, from the next page that is made on."""
        self._about, self._page, self._event = about, None, None

    def turn(self, snapshot: Snapshot) -> None:
        """Show another snapshot, and tell the pages that are open."""
        self._snapshot, self._page, self._event = snapshot, None, None
        remember(self._history, snapshot)
        self._feed.tell(lambda: self._told() or b"")

    def close(self) -> None:
        """End the streams at once."""
        self._feed.close()

    def routes(self, home: bool) -> list[web.RouteDef]:
        """What is served; without the page itself only what a page of links needs."""
        files = [web.get(asset.path, _serve(asset)) for asset in ASSETS]
        return [*files, web.get("/", self._home), web.get(document.EVENTS, self._events)] if home else files

    def not_found(self, request: web.Request) -> web.Response:
        """A page of links."""
        return _html(document.not_found(request.path, self._links), 404)

    async def _home(self, _: web.Request) -> web.Response:
        if self._page is None:
            self._page = document.page(self._snapshot, self._about, self._links, self._history)
        return _html(self._page)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        return await self._feed.serve(request, self._told, lambda: self._asked(request))

    def _told(self) -> bytes | None:
        if self._event is None and self._snapshot is not None:
            nodes = live(self._snapshot, self._about, self._history)
            self._event = event(self._snapshot, VERSION, nodes)
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
    """A file that a browser keeps, and asks after each time: another version of goodwatt is seen at once."""
    headers = {"Cache-Control": "no-cache", "Content-Type": f"{asset.content_type}; charset=utf-8"}

    async def serve(request: web.Request) -> web.Response:
        known = any(tag.value in (asset.tag, "*") for tag in request.if_none_match or ())
        response = web.Response(status=304) if known else web.Response(body=asset.body, headers=headers)
        response.etag = asset.tag
        return response

    return serve
