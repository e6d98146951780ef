"""What all connections of one proxy share, and which requests it does not pass on."""

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
    """A client's."""

    def sweep(self, now: float) -> None:
        """Cut what has not moved for too long."""
        ...

    def close_if_idle(self) -> None:
        """Where no answer is under way."""
        ...

    def abort(self) -> None:
        """At once, whatever is under way."""
        ...


@dataclass
class ProxyContext:
    """What the connections of one proxy share."""

    server: str
    section: ProxySection
    pool: UpstreamPool
    outbox: RecordOutbox
    clock: Callable[[], float] = time.monotonic
    unix: Callable[[], float] = time.time
    clients: set[Connection] = field(default_factory=set)
    running: int = 0
    closing: bool = False  # takes no further request

    @property
    def max_clients(self) -> int:
        """Connections, idle ones included."""
        return 2 * self.section.max_concurrent_requests + 64

    def recorder_for(self, head: RequestHead) -> RequestRecorder | None:
        """For a request that makes a record."""
        if not is_recorded(head.method, head.path):
            return None
        return RequestRecorder(self.server, ArrivalTime(self.clock(), self.unix()))

    def rejection(self, head: RequestHead) -> BadMessage | None:
        """Why a request is not passed on; None where it is."""
        section = self.section
        if head.is_websocket_upgrade or head.method == b"CONNECT":
            return BadMessage(501, "WebSocket and CONNECT are not passed on; go to the server itself for them")
        if head.body.length is not None and head.body.length > section.max_body_bytes:
            return BadMessage(413, f"the body is longer than max_body_bytes ({section.max_body_bytes})")
        if self.running >= section.max_concurrent_requests:
            most = section.max_concurrent_requests
            return BadMessage(SERVICE_UNAVAILABLE, f"{most} requests are running, max_concurrent_requests; try again")
        return None
