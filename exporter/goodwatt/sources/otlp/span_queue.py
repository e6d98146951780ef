"""From spans to the records that wait for the next tick: which belong to which server, and which are not counted."""

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

SPANS_PER_SLICE = 64  # spans, about 2 ms, before everything else gets its turn
_MOST_STRANGERS = 100
_TELL: Mapping[Dropped, str] = {
    Dropped.MALFORMED: "have not the form that OTLP gives them",
    Dropped.PARTIAL: "lack an id, a start or a latency",
    Dropped.LATE: "ended too long ago to be told from repetitions; check the clocks",
    Dropped.UNKNOWN_SERVER: "are of a service that is no server of goodwatt's; name it in otlp.services",
    Dropped.OVERFLOW: "are more than otlp.queue_requests holds between two ticks",
}


class PartialSuccess(NamedTuple):
    """How many spans of one request were refused, and why, in one line. Spans of no request are no refusal."""

    rejected: int = 0
    why: str = ""


class ServiceMapping(NamedTuple):
    """Whose spans are whose. `services` is what the operator says; `servers` are the names of those read now."""

    services: Mapping[str, str]
    servers: Callable[[], Collection[str]]

    def server_of(self, service: SpanService) -> str | None:
        """The server's name. An instance tells more than a name; with nothing said, the only server there is."""
        named = [name for name in (service.instance, service.name) if name]
        servers = self.servers()
        said = next((self.services[name] for name in named if name in self.services), None)
        own = said or next((name for name in named if name in servers), None)
        if own is None and not self.services and len(servers) == 1:
            return next(iter(servers))
        return own


class SpanQueue:
    """At most `room` records wait. Counts everything that is not counted."""

    def __init__(
        self,
        rule_of: Callable[[str], SpanRule | None],
        belonging: ServiceMapping,
        room: int,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rule_of = rule_of
        self._belonging = belonging
        self._room = room
        self._clock = clock
        self._recent = RecentSpans()
        self._waiting: list[RequestRecord] = []
        self._dropped: Counter[Dropped] = Counter()
        self._strangers: set[SpanService] = set()

    async def take(self, spans: Iterable[Span]) -> PartialSuccess:
        """Take what is a request's. Raises Malformed where the whole is no OTLP; what came before it is taken."""
        dropped: Counter[Dropped] = Counter()
        owners: dict[SpanService, str | None] = {}
        try:
            for number, span in enumerate(spans, 1):
                refused = self._refused(span, owners)
                if refused is not None:
                    dropped[refused] += 1
                if number % SPANS_PER_SLICE == 0:
                    await asyncio.sleep(0)
        finally:
            self._dropped.update(dropped)
        told = {why: dropped[why] for why in _TELL if dropped[why]}
        return PartialSuccess(sum(told.values()), "; ".join(f"{number} {_TELL[why]}" for why, number in told.items()))

    @property
    def waiting(self) -> int:
        """How many records the next drain brings."""
        return len(self._waiting)

    def drop(self, why: Dropped) -> None:
        """Count one thing that came and cannot be taken."""
        self._dropped[why] += 1

    def drain(self) -> tuple[tuple[RequestRecord, ...], Mapping[Dropped, int]]:
        """What has come since the last time."""
        records, dropped = tuple(self._waiting), dict(self._dropped)
        self._waiting.clear()
        self._dropped.clear()
        return records, dropped

    def _refused(self, span: Span, owners: dict[SpanService, str | None]) -> Dropped | None:
        try:
            rule = self._rule_of(span.name)
            if rule is None:
                return Dropped.FOREIGN
            attributes = span.attributes(rule.wanted)
            return self._counted(span, rule, attributes, owners) if rule.is_request(attributes) else Dropped.FOREIGN
        except MalformedOtlp:
            return Dropped.MALFORMED

    def _counted(
        self,
        span: Span,
        rule: SpanRule,
        attributes: Mapping[str, AttributeValue],
        owners: dict[SpanService, str | None],
    ) -> Dropped | None:
        if span.service not in owners:
            owners[span.service] = self._belonging.server_of(span.service)
        server = owners[span.service]
        if server is None:
            self._tell(span.service)
            return Dropped.UNKNOWN_SERVER
        key, record = span.key, rule.record(server, span.start_ns, attributes)
        if record is None or not key:
            return Dropped.PARTIAL
        refused = self._recent.drop_reason(key, span.end_ns / NANOSECONDS_PER_SECOND)
        if refused is None and len(self._waiting) >= self._room:
            refused = Dropped.OVERFLOW
        if refused is None:
            self._recent.remember(key, self._clock())
            self._waiting.append(record)
        return refused

    def _tell(self, stranger: SpanService) -> None:
        if stranger not in self._strangers and len(self._strangers) < _MOST_STRANGERS:
            self._strangers.add(stranger)
            log.warning(
                "otlp: spans of service.name %.80r, service.instance.id %.80r belong to no server; give a server that "
                "name, or name it in otlp.services",
                stranger.name,
                stranger.instance,
            )
