"""The source of request records from the proxy in front of one server."""

import time
from collections.abc import Callable

from goodwatt.model.request import RequestsReading
from goodwatt.model.source import proxy_source, server_source
from goodwatt.settings.sources import ProxySection
from goodwatt.sources.proxy.listener import Listener
from goodwatt.sources.proxy.loop_thread import LoopThread
from goodwatt.sources.proxy.recording.outbox import RecordOutbox
from goodwatt.sources.proxy.recording.server_counters import ServerCounters

_DEADLINE_SECONDS = 2.0
_CLOSE_SECONDS = 0.5
_PATIENCE_SECONDS = 5.0


class ProxySource:
    """The proxy in front of one server. If the server is not scraped, its readings also carry the server's counters."""

    deadline_seconds = _DEADLINE_SECONDS

    def __init__(
        self,
        server: str,
        section: ProxySection,
        *,
        has_page: bool,
        clock: Callable[[], float] = time.monotonic,
        simulated: bool = False,
    ) -> None:
        self.id = proxy_source(server) if has_page else server_source(server)
        self._clock = clock
        self._simulated = simulated
        self._outbox = RecordOutbox()
        self._counters = None if has_page else ServerCounters(server, simulated)
        self._closed = False
        self._thread = LoopThread(self.id.label)
        self._listener = Listener(self.id.label, server, section, self._outbox, self._thread.stop)

    @property
    def port(self) -> int:
        """The port clients connect to. Valid after the first read."""
        return self._listener.port

    async def read(self) -> RequestsReading:
        """Return the requests that ended since the last read. Raises SourceUnavailable if it cannot listen."""
        if not self._listener.is_open:
            await self._open()
        drained, now = self._outbox.drain(), self._clock()
        page = self._counters
        if page is not None:
            page.count(drained.records)
        reading = None if page is None else page.reading(now, drained.running_models)
        return RequestsReading(
            at_seconds=now, records=drained.records, dropped=drained.dropped, page=reading, simulated=self._simulated
        )

    async def _open(self) -> None:
        if not self._thread.is_running:
            self._thread.start()
        await self._thread.call(self._listener.open())

    async def aclose(self) -> None:
        """Stop listening and free the address. Responses in progress finish but are no longer recorded."""
        if self._thread.is_running and not self._closed:
            self._closed = True
            await self._thread.run_within(self._listener.close, _CLOSE_SECONDS)

    def abort(self) -> None:
        """Close all connections immediately and wait for the thread to end."""
        if self._thread.is_running:
            self._thread.submit(self._listener.abort)
            self._thread.join(_PATIENCE_SECONDS)
