"""The OTLP receiver as a source: servers send one span per request, and each tick drains the queue."""

import time
from collections.abc import Callable, Collection, Iterable

from goodwatt.engines.profile import Profile
from goodwatt.engines.spans import span_rules
from goodwatt.model.request import RequestsReading
from goodwatt.model.source import OTLP_SOURCE, Reason, SourceUnavailable
from goodwatt.settings.sources import OtlpSection
from goodwatt.sources.otlp.body import BodyReader
from goodwatt.sources.otlp.protobuf_codec import PROTOBUF_MISSING
from goodwatt.sources.otlp.server import OtlpEncoding, TraceServer, supported_encodings
from goodwatt.sources.otlp.span_queue import ServiceMapping, SpanQueue
from goodwatt.web.address import parse_address


class OtlpSource:
    """Starts listening at the first read. If the address is taken, every read tries again."""

    id = OTLP_SOURCE
    deadline_seconds = 2.0

    def __init__(
        self,
        section: OtlpSection,
        profiles: Iterable[Profile],
        servers: Callable[[], Collection[str]],
        *,
        clock: Callable[[], float] = time.monotonic,
        simulated: bool = False,
        encodings: dict[str, OtlpEncoding] | None = None,
    ) -> None:
        self._address = parse_address(section.listen)
        self._queue = SpanQueue(span_rules(profiles), ServiceMapping(section.services, servers), section.queue_requests)
        self._http = TraceServer(
            self._queue,
            BodyReader(section.largest_body_bytes),
            supported_encodings() if encodings is None else encodings,
            clock=clock,
        )
        self._clock = clock
        self._simulated = simulated

    @property
    def port(self) -> int | None:
        """The bound port; None while not listening."""
        return self._http.port

    async def read(self) -> RequestsReading:
        """The records and drop counts since the last read.

        Raises SourceUnavailable if it cannot listen, or if protobuf arrived and its package is missing.
        """
        if self._http.port is None:
            await self._http.start(self._address)
        if self._http.lacks_protobuf and not self._queue.waiting:
            raise SourceUnavailable(Reason.LIBRARY_MISSING, f"otlp: {PROTOBUF_MISSING}, then restart")
        records, dropped = self._queue.drain()
        return RequestsReading(at_seconds=self._clock(), records=records, dropped=dropped, simulated=self._simulated)

    async def aclose(self) -> None:
        """Stop listening and close open connections."""
        await self._http.aclose()
