"""The ground truth of each request, to check every figure that goodwatt derives.

Counts continue across restarts of the engine. Only the latest records are kept; an SLO watched from the start is
counted exactly, however long the simulation runs.
"""

from collections import deque
from dataclasses import dataclass, field

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.request_times import RequestTimes
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold

KEPT_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class GoodCount:
    """Requests eligible for an SLO, those that met all its thresholds, and the tokens of the good ones."""

    eligible: int = 0
    good: int = 0
    good_tokens: int = 0

    def with_record(self, record: RequestTimes, thresholds: tuple[Threshold, ...]) -> "GoodCount":
        """Return the count with one more record; a disconnected request is not eligible."""
        if not record.succeeded:
            return self
        good = meets(record, thresholds)
        return GoodCount(self.eligible + 1, self.good + good, self.good_tokens + good * record.request.output_tokens)


def meets(record: RequestTimes, thresholds: tuple[Threshold, ...]) -> bool:
    """Whether every latency is at or below its threshold. Raises KeyError for a signal that is not a latency."""
    latency = {Signal.TTFT: record.ttft_ns, Signal.TPOT: record.tpot_ns, Signal.E2E: record.e2e_ns}
    return all(latency[threshold.signal] / NANOSECONDS <= threshold.seconds for threshold in thresholds)


@dataclass(slots=True)
class Truth:
    """Exact counts of one server since the simulation started."""

    arrived: int = 0
    succeeded: int = 0
    disconnected: int = 0
    lost: int = 0  # in the engine when it restarted
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    records: deque[RequestTimes] = field(default_factory=lambda: deque(maxlen=KEPT_RECORDS))
    watched: dict[str, tuple[Slo, GoodCount]] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every request that has ended is still in `records`."""
        return len(self.records) == self.succeeded + self.disconnected

    def watch(self, slo: Slo) -> None:
        """Count this SLO from now on, and from the records so far."""
        self.watched[slo.name] = (slo, self.good(slo.thresholds))

    def good(self, thresholds: tuple[Threshold, ...]) -> GoodCount:
        """Count any thresholds since the start. Raises LookupError once old records have been dropped."""
        if not self.complete:
            raise LookupError("truth: early requests have been dropped; watch the SLO before the simulation starts")
        count = GoodCount()
        for record in self.records:
            count = count.with_record(record, thresholds)
        return count

    def ended(self, record: RequestTimes) -> None:
        """Count a request whose last token has been delivered."""
        self.records.append(record)
        self.succeeded += record.succeeded
        self.disconnected += not record.succeeded
        for name, (slo, count) in self.watched.items():
            self.watched[name] = (slo, count.with_record(record, slo.thresholds))
