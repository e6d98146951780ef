"""State shared by all connections of one proxy, and the checks a request must pass before it is forwarded."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from goodwatt.settings.sources import ProxySection
from goodwatt.sources.proxy.http1.head import BadMessage, RequestHead
from goodwatt.sources.proxy.recording.api_formats import is_recorded
from goodwatt.sources.proxy.recording.outbox import RecordOutbox
from goodwatt.sources.proxy.recording.recorder import ArrivalTime, RequestRecorder
from goodwatt.sources.proxy.upstream import UpstreamPool

SERVICE_UNAVAILABLE = 503


class Connection(Protocol):
    """A client connection, as the listener uses it."""

    def sweep(self, now: float) -> None:
        """Close the connection if it has been silent for too long."""
        ...

    def close_if_idle(self) -> None:
        """Close the connection unless a response is in progress."""
        ...

    def abort(self) -> None:
        """Close the connection immediately, even in the middle of a response."""
        ...


@dataclass
class ProxyContext:
    """State shared by all connections of one proxy."""

    server: str
    section: ProxySection
    pool: UpstreamPool
    outbox: RecordOutbox
    clock: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    clients: set[Connection] = field(default_factory=set)
    running: int = 0
    closing: bool = False  # accepts no more requests

    @property
    def max_clients(self) -> int:
        """Limit on open client connections, including idle ones."""
        return 2 * self.section.max_concurrent_requests + 64

    def recorder_for(self, head: RequestHead) -> RequestRecorder | None:
        """Return a recorder, or None if requests of this kind are not recorded."""
        if not is_recorded(head.method, head.path):
            return None
        return RequestRecorder(self.server, ArrivalTime(self.clock(), self.unix()))

    def rejection(self, head: RequestHead) -> BadMessage | None:
        """Return the error to answer with, or None if the request may be forwarded."""
        section = self.section
        if head.is_websocket_upgrade or head.method == b"CONNECT":
            return BadMessage(501, "WebSocket and CONNECT are not supported; connect to the server directly")
        if head.body.length is not None and head.body.length > section.max_body_bytes:
            return BadMessage(413, f"the body is longer than max_body_bytes ({section.max_body_bytes})")
        if self.running >= section.max_concurrent_requests:
            most = section.max_concurrent_requests
            return BadMessage(SERVICE_UNAVAILABLE, f"{most} requests are running (max_concurrent_requests); try again")
        return None
