"""Server-sent events: every new snapshot to every open page, made once for all of them."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from goodwatt.web.plain_text import text_response

MOST_LISTENERS = 32
KEEP_ALIVE_SECONDS = 15.0
SLOW_SECONDS = 10.0
ALIVE = b": alive\n\n"
RETRY = b"retry: 2000\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that collects an answer before it passes it on would never pass this one on
    "X-Content-Type-Options": "nosniff",
    "Server": "goodwatt",
}


class Feed:
    """Its listeners. One that is slow misses events; one that takes nothing for `slow_seconds` is cut."""

    def __init__(
        self,
        *,
        most: int = MOST_LISTENERS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self._most = most
        self._keep_alive_seconds = keep_alive_seconds
        self._slow_seconds = slow_seconds
        self._listeners: set[_Listener] = set()

    @property
    def listeners(self) -> int:
        """How many there are."""
        return len(self._listeners)

    def tell(self, make: Callable[[], bytes]) -> None:
        """Send one event to everybody. It is not even made when nobody listens."""
        if self._listeners:
            event = make()
            for listener in self._listeners:
                listener.offer(event)

    def close(self) -> None:
        """End every stream at once."""
        for listener in self._listeners:
            listener.end()

    async def serve(
        self, request: web.Request, first: Callable[[], bytes | None], progress: Callable[[], None]
    ) -> web.StreamResponse:
        """A stream that begins with `first`, or 503 where there are too many. `progress` is called as bytes leave."""
        if self._is_full():
            line = f"{self._most} pages listen already; close one of them, or read / again now and then"
            return text_response(line, 503, {"Retry-After": "30"})
        response = web.StreamResponse(headers=_HEADERS)
        if request.method == "HEAD":
            return response
        listener = _Listener(request)
        self._listeners.add(listener)
        try:
            await response.prepare(request)
            listener.offer(RETRY + (first() or ALIVE))
            await self._pour(listener, response, progress)
        except ConnectionError:
            pass  # the reader left
        except TimeoutError:
            listener.cut()
        finally:
            self._listeners.discard(listener)
        return response

    def _is_full(self) -> bool:
        """Whether no more fit, those left out that are gone and were not told anything since."""
        self._listeners = {one for one in self._listeners if not one.is_gone()}
        return len(self._listeners) >= self._most

    async def _pour(self, listener: "_Listener", response: web.StreamResponse, progress: Callable[[], None]) -> None:
        while (event := await listener.next(self._keep_alive_seconds)) is not None:
            async with asyncio.timeout(self._slow_seconds):
                await response.write(event)
            progress()


class _Listener:
    """One open page. It holds the newest event only, so nothing piles up behind a slow reader."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._event: bytes | None = None
        self._ended = False
        self._woken = asyncio.Event()

    def offer(self, event: bytes) -> None:
        self._event = event
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()

    def is_gone(self) -> bool:
        return self._request.transport is None or self._request.transport.is_closing()

    def cut(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def next(self, seconds: float) -> bytes | None:
        """The newest event; a comment when there is none for so long; None at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return ALIVE
        self._woken.clear()
        event, self._event = self._event, None
        return None if self._ended else event or ALIVE
