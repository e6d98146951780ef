"""How often a server is read between two ticks.

A page that covers fewer finished requests proves more about each of them: with one, its sums are that request's
latencies. So a server is read faster than the tick while that pays and costs little (docs/goodput.md).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from goodwatt.model.engine import EngineReading, Signal
from goodwatt.settings.sources import SHORTEST_READ_SECONDS, ReadInterval

MAX_READS_PER_TICK = 50  # so that what waits for a tick is bounded, and a slow tick does not mean thousands of pages
_ENDS_PER_READ = 1.5  # with more requests on a page than this, further reads prove little
_CPU_SHARE, _CPU_SHARE_OF_ALL = 0.01, 0.04  # of one core: for one server, and for all that this process reads
_OTHER_CPU_SECONDS = 0.002  # the HTTP client and the fold of a page, which cannot be measured among other tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class TickOfReads:
    """What one tick showed of a server: its length, how many requests ended in it, and whether any is in progress."""

    seconds: float
    ended: float
    is_working: bool


class ReadPace:
    """Chooses how many reads to spread between two ticks, from the setting `read_interval_seconds`.

    `servers` returns the servers that this process reads: the more they are, the less CPU time each may take.
    """

    def __init__(self, interval: ReadInterval, servers: Callable[[], Collection[str]] = tuple) -> None:
        self._interval = interval
        self._servers = servers
        self._last: EngineReading | None = None

    def reads_until_next_tick(self, reading: EngineReading, cpu_seconds: float) -> tuple[int, float]:
        """Return the number of reads before the next tick and the seconds between them; (0, 0.0) for none.

        `reading` is the latest tick's. `cpu_seconds` is what parsing and reading it cost. The next tick is expected as
        long after this one as this one came after the one before.
        """
        last, self._last = self._last, reading
        if last is None or reading.at_seconds <= last.at_seconds:
            return 0, 0.0
        seconds = reading.at_seconds - last.at_seconds
        tick = TickOfReads(
            seconds=seconds,
            ended=max(0.0, _ended(reading) - _ended(last)),
            is_working=any(value > 0 for (signal, _), value in reading.gauges.items() if signal in _IN_PROGRESS),
        )
        interval = self._chosen(tick, cpu_seconds)
        pages = 1 if interval is None else min(MAX_READS_PER_TICK, round(seconds / interval))
        return (pages - 1, seconds / pages) if pages > 1 else (0, 0.0)

    def _chosen(self, tick: TickOfReads, cpu_seconds: float) -> float | None:
        if self._interval == "tick":
            return None
        if self._interval == "auto":
            return automatic_interval(tick, cpu_seconds, len(self._servers()))
        return self._interval


_IN_PROGRESS = (Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING)


def automatic_interval(tick: TickOfReads, cpu_seconds: float, servers: int = 1) -> float | None:
    """Return the shortest interval that costs at most 1 % of a core, 4 % for all servers; None where it would not pay.

    It does not pay for an idle server, nor where even then more than 1.5 requests would end between two reads.
    """
    share = min(_CPU_SHARE, _CPU_SHARE_OF_ALL / max(1, servers))
    interval = max(SHORTEST_READ_SECONDS, (cpu_seconds + _OTHER_CPU_SECONDS) / share)
    is_idle = not tick.is_working and tick.ended == 0
    pays = tick.ended / tick.seconds * interval < _ENDS_PER_READ
    return interval if pays and not is_idle else None


def _ended(reading: EngineReading) -> float:
    """Requests that the server has finished: its own count, or the observations of E2E where it has none."""
    counted = [value for series, value in reading.counters.items() if series.signal is Signal.REQUESTS]
    observed = (one.count for series, one in reading.histograms.items() if series.signal is Signal.E2E)
    return sum(counted) if counted else sum(observed)
