"""Turns spans into request records, queues them for the next tick, and counts the spans it drops."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from goodwatt.engines.spans import NANOSECONDS_PER_SECOND, AttributeValue, SpanRule
from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.otlp.recent_spans import RecentSpans
from goodwatt.sources.otlp.span import MalformedOtlp, Span, SpanService

log = logging.getLogger(__name__)

SPANS_PER_SLICE = 64  # about 2 ms of work before yielding to the event loop
_MAX_LOGGED_SERVICES = 100
_REJECTIONS: Mapping[Dropped, str] = {
    Dropped.MALFORMED: "are malformed",
    Dropped.PARTIAL: "lack an id, a start time or a latency",
    Dropped.LATE: "ended too long ago to rule out duplicates; check the clocks",
    Dropped.UNKNOWN_SERVER: "come from a service that maps to no server; add it to otlp.services",
    Dropped.OVERFLOW: "exceeded otlp.queue_requests between two ticks",
}


class PartialSuccess(NamedTuple):
    """How many spans of one export were rejected, and why, in one line. Spans that are not requests do not count."""

    rejected: int = 0
    error_message: str = ""


class ServiceMapping(NamedTuple):
    """Maps a service to a server. `services` is the configured map; `servers` returns the current server names."""

    services: Mapping[str, str]
    servers: Callable[[], Collection[str]]

    def server_of(self, service: SpanService) -> str | None:
        """The server's name, or None. service.instance.id beats service.name; a single server needs no map."""
        named = [name for name in (service.instance, service.name) if name]
        servers = self.servers()
        mapped = next((self.services[name] for name in named if name in self.services), None)
        server = mapped or next((name for name in named if name in servers), None)
        if server is None and not self.services and len(servers) == 1:
            return next(iter(servers))
        return server


class SpanQueue:
    """Holds at most `capacity` records until the next tick and counts every dropped span by reason."""

    def __init__(
        self,
        rule_of: Callable[[str], SpanRule | None],
        mapping: ServiceMapping,
        capacity: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rule_of = rule_of
        self._mapping = mapping
        self._capacity = capacity
        self._clock = clock
        self._recent = RecentSpans()
        self._waiting: list[RequestRecord] = []
        self._dropped: Counter[Dropped] = Counter()
        self._logged_services: set[SpanService] = set()

    async def put(self, spans: Iterable[Span]) -> PartialSuccess:
        """Queue the request spans. Raises MalformedOtlp if the body is not OTLP; earlier spans stay queued."""
        dropped: Counter[Dropped] = Counter()
        owners: dict[SpanService, str | None] = {}
        try:
            for number, span in enumerate(spans, 1):
                refused = self._drop_reason(span, owners)
                if refused is not None:
                    dropped[refused] += 1
                if number % SPANS_PER_SLICE == 0:
                    await asyncio.sleep(0)
        finally:
            self._dropped.update(dropped)
        rejected = {why: dropped[why] for why in _REJECTIONS if dropped[why]}
        return PartialSuccess(
            sum(rejected.values()), "; ".join(f"{n} {_REJECTIONS[why]}" for why, n in rejected.items())
        )

    @property
    def waiting(self) -> int:
        """The number of queued records."""
        return len(self._waiting)

    def drop(self, why: Dropped) -> None:
        """Count one rejected export under a reason."""
        self._dropped[why] += 1

    def drain(self) -> tuple[tuple[RequestRecord, ...], Mapping[Dropped, int]]:
        """Take the records and the drop counts by reason since the last drain."""
        records, dropped = tuple(self._waiting), dict(self._dropped)
        self._waiting.clear()
        self._dropped.clear()
        return records, dropped

    def _drop_reason(self, span: Span, owners: dict[SpanService, str | None]) -> Dropped | None:
        try:
            rule = self._rule_of(span.name)
            if rule is None:
                return Dropped.FOREIGN
            attributes = span.attributes(rule.attribute_names)
            return self._queue(span, rule, attributes, owners) if rule.is_request(attributes) else Dropped.FOREIGN
        except MalformedOtlp:
            return Dropped.MALFORMED

    def _queue(
        self,
        span: Span,
        rule: SpanRule,
        attributes: Mapping[str, AttributeValue],
        owners: dict[SpanService, str | None],
    ) -> Dropped | None:
        if span.service not in owners:
            owners[span.service] = self._mapping.server_of(span.service)
        server = owners[span.service]
        if server is None:
            self._log_unknown(span.service)
            return Dropped.UNKNOWN_SERVER
        key, record = span.key, rule.record(server, span.start_ns, attributes)
        if record is None or not key:
            return Dropped.PARTIAL
        refused = self._recent.drop_reason(key, span.end_ns / NANOSECONDS_PER_SECOND)
        if refused is None and len(self._waiting) >= self._capacity:
            refused = Dropped.OVERFLOW
        if refused is None:
            self._recent.remember(key, self._clock())
            self._waiting.append(record)
        return refused

    def _log_unknown(self, service: SpanService) -> None:
        if service not in self._logged_services and len(self._logged_services) < _MAX_LOGGED_SERVICES:
            self._logged_services.add(service)
            log.warning(
                "otlp: spans with service.name %.80r, service.instance.id %.80r match no server; give a server that "
                "name, or map it in otlp.services",
                service.name,
                service.instance,
            )
