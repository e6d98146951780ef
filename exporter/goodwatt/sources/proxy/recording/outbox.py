"""What the proxy has seen since somebody last asked."""

from collections import deque
from typing import NamedTuple

from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.proxy.recording.recorder import Meter

MOST_TOLD = 50_000  # between two ticks


class Drained(NamedTuple):
    """`asked` are the models that running requests ask for, as far as that is known; one entry a request."""

    records: tuple[RequestRecord, ...]
    dropped: dict[Dropped, int]
    asked: tuple[str, ...]


class Tally:
    """Filled where the proxy runs, drained by the tick. These may be two threads, so every step is an atomic one."""

    def __init__(self, most: int = MOST_TOLD) -> None:
        self._most = most
        self._told: deque[RequestRecord | Dropped] = deque()
        self._running: set[Meter] = set()

    def begun(self, meter: Meter) -> None:
        """A request that makes a record runs."""
        self._running.add(meter)

    def ended(self, meter: Meter, told: RequestRecord | Dropped) -> None:
        """It has ended."""
        self._running.discard(meter)
        self.put(told)

    def put(self, told: RequestRecord | Dropped) -> None:
        """Of a request that never ran."""
        room = len(self._told) < self._most
        self._told.append(told if room or isinstance(told, Dropped) else Dropped.OVERFLOW)

    def drain(self) -> Drained:
        """What came since the last call."""
        told = [self._told.popleft() for _ in range(len(self._told))]
        dropped: dict[Dropped, int] = {}
        for one in told:
            if isinstance(one, Dropped):
                dropped[one] = dropped.get(one, 0) + 1
        records = tuple(one for one in told if not isinstance(one, Dropped))
        return Drained(records, dropped, tuple(meter.asked_model for meter in self._running.copy()))
