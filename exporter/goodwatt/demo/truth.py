"""What really happened, request for request: the yardstick for every figure that goodwatt derives.

Counts run over restarts of the engine. Records are kept for the latest requests only; an SLO that is watched from the
start is counted exactly for ever.
"""

from collections import deque
from dataclasses import dataclass, field

from goodwatt.demo.arrivals import NANOSECONDS
from goodwatt.demo.request_record import RequestTimes
from goodwatt.model.engine import Signal
from goodwatt.model.slo import Slo, Threshold

KEPT_RECORDS = 20_000


@dataclass(frozen=True, slots=True)
class GoodCount:
    """Requests that count for an SLO, those that met all of it, and the tokens that the good ones generated."""

    eligible: int = 0
    good: int = 0
    good_tokens: int = 0

    def with_record(self, record: RequestTimes, thresholds: tuple[Threshold, ...]) -> "GoodCount":
        """Count one more record; a disconnected one is on neither side."""
        if not record.succeeded:
            return self
        good = meets(record, thresholds)
        return GoodCount(self.eligible + 1, self.good + good, self.good_tokens + good * record.request.output_tokens)


def meets(record: RequestTimes, thresholds: tuple[Threshold, ...]) -> bool:
    """Whether every latency is at or below its threshold. Raises KeyError for a signal that is no latency."""
    latency = {Signal.TTFT: record.ttft_ns, Signal.TPOT: record.tpot_ns, Signal.E2E: record.e2e_ns}
    return all(latency[threshold.signal] / NANOSECONDS <= threshold.seconds for threshold in thresholds)


@dataclass(slots=True)
class Truth:
    """Exact counts of one server since the simulation began."""

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
        """Count this SLO from here on, and from the records kept so far."""
        self.watched[slo.name] = (slo, self.good(slo.thresholds))

    def good(self, thresholds: tuple[Threshold, ...]) -> GoodCount:
        """Count any thresholds over the whole past. Raises LookupError once records have been let go."""
        if not self.complete:
            raise LookupError("truth: early requests are forgotten; watch the SLO before the simulation begins")
        count = GoodCount()
        for record in self.records:
            count = count.with_record(record, thresholds)
        return count

    def ended(self, record: RequestTimes) -> None:
        """Book a request whose last token has been delivered."""
        self.records.append(record)
        self.succeeded += record.succeeded
        self.disconnected += not record.succeeded
        for name, (slo, count) in self.watched.items():
            self.watched[name] = (slo, count.with_record(record, slo.thresholds))
