"""What the proxy has seen since somebody last running_models."""

from collections import deque
from typing import NamedTuple

from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.proxy.recording.recorder import RequestRecorder

MAX_PENDING_RECORDS = 50_000  # between two ticks


class OutboxContents(NamedTuple):
    """`running_models` are the models that running requests ask for, as far as that is known; one entry a request."""

    records: tuple[RequestRecord, ...]
    dropped: dict[Dropped, int]
    running_models: tuple[str, ...]


class RecordOutbox:
    """Filled where the proxy runs, drained by the tick. These may be two threads, so every step is an atomic one."""

    def __init__(self, most: int = MAX_PENDING_RECORDS) -> None:
        self._most = most
        self._pending: deque[RequestRecord | Dropped] = deque()
        self._running: set[RequestRecorder] = set()

    def add_running(self, recorder: RequestRecorder) -> None:
        """A request that makes a record runs."""
        self._running.add(recorder)

    def finish(self, recorder: RequestRecorder, entry: RequestRecord | Dropped) -> None:
        """It has ended."""
        self._running.discard(recorder)
        self.put(entry)

    def put(self, entry: RequestRecord | Dropped) -> None:
        """Of a request that never ran."""
        room = len(self._pending) < self._most
        self._pending.append(entry if room or isinstance(entry, Dropped) else Dropped.OVERFLOW)

    def drain(self) -> OutboxContents:
        """What came since the last call."""
        entry = [self._pending.popleft() for _ in range(len(self._pending))]
        dropped: dict[Dropped, int] = {}
        for one in entry:
            if isinstance(one, Dropped):
                dropped[one] = dropped.get(one, 0) + 1
        records = tuple(one for one in entry if not isinstance(one, Dropped))
        return OutboxContents(records, dropped, tuple(recorder.requested_model for recorder in self._running.copy()))
