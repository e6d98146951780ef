"""Server-sent events: sends every new snapshot to all open pages, encoded once."""

import asyncio
from collections.abc import Callable

from aiohttp import web

from goodwatt.web.plain_text import text_response

MAX_LISTENERS = 32
KEEP_ALIVE_SECONDS = 15.0
SLOW_SECONDS = 10.0
ALIVE = b": alive\n\n"
RETRY = b"retry: 2000\n\n"
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that buffers responses would never forward this one
    "X-Content-Type-Options": "nosniff",
    "Server": "goodwatt",
}


class EventStream:
    """The open streams. A slow client misses events; one that reads nothing for `slow_seconds` is disconnected."""

    def __init__(
        self,
        *,
        most: int = MAX_LISTENERS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        slow_seconds: float = SLOW_SECONDS,
    ) -> None:
        self._most = most
        self._keep_alive_seconds = keep_alive_seconds
        self._slow_seconds = slow_seconds
        self._listeners: set[_Listener] = set()

    @property
    def listeners(self) -> int:
        """Return the number of open streams."""
        return len(self._listeners)

    def send(self, make: Callable[[], bytes]) -> None:
        """Send one event to all streams. `make` is called only if there are any."""
        if self._listeners:
            event = make()
            for listener in self._listeners:
                listener.offer(event)

    def close(self) -> None:
        """End every stream immediately."""
        for listener in self._listeners:
            listener.end()

    async def serve(
        self, request: web.Request, first: Callable[[], bytes | None], progress: Callable[[], None]
    ) -> web.StreamResponse:
        """Stream events, starting with `first`; answer 503 at the limit. Calls `progress` after each write."""
        if self._is_full():
            line = f"all {self._most} event streams are in use; close another page, or reload / to update"
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
            pass  # the client disconnected
        except TimeoutError:
            listener.cut()
        finally:
            self._listeners.discard(listener)
        return response

    def _is_full(self) -> bool:
        """Whether the limit is reached, not counting disconnected clients, which are forgotten here."""
        self._listeners = {one for one in self._listeners if not one.is_gone()}
        return len(self._listeners) >= self._most

    async def _pour(self, listener: "_Listener", response: web.StreamResponse, progress: Callable[[], None]) -> None:
        while (event := await listener.next(self._keep_alive_seconds)) is not None:
            async with asyncio.timeout(self._slow_seconds):
                await response.write(event)
            progress()


class _Listener:
    """One open page. Keeps only the newest event, so that no backlog grows behind a slow client."""

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
        """Return the newest event, a keep-alive comment after `seconds` without one, or None at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return ALIVE
        self._woken.clear()
        event, self._event = self._event, None
        return None if self._ended else event or ALIVE
