"""Queue of finished requests between the proxy's thread and the tick."""

from collections import deque
from typing import NamedTuple

from goodwatt.model.request import Dropped, RequestRecord
from goodwatt.sources.proxy.recording.recorder import RequestRecorder

MAX_PENDING_RECORDS = 50_000  # between two ticks


class OutboxContents(NamedTuple):
    """What was queued, and the requested model of each running request (empty if unknown)."""

    records: tuple[RequestRecord, ...]
    dropped: dict[Dropped, int]
    running_models: tuple[str, ...]


class RecordOutbox:
    """Filled by the proxy's thread and drained by the tick, so every step is atomic."""

    def __init__(self, most: int = MAX_PENDING_RECORDS) -> None:
        self._most = most
        self._pending: deque[RequestRecord | Dropped] = deque()
        self._running: set[RequestRecorder] = set()

    def add_running(self, recorder: RequestRecorder) -> None:
        """List a recorded request as running."""
        self._running.add(recorder)

    def finish(self, recorder: RequestRecorder, entry: RequestRecord | Dropped) -> None:
        """Queue the result of a request that ran."""
        self._running.discard(recorder)
        self.put(entry)

    def put(self, entry: RequestRecord | Dropped) -> None:
        """Queue the result of a request that was rejected before it ran."""
        room = len(self._pending) < self._most
        self._pending.append(entry if room or isinstance(entry, Dropped) else Dropped.OVERFLOW)

    def drain(self) -> OutboxContents:
        """Return and remove everything queued since the last call."""
        entry = [self._pending.popleft() for _ in range(len(self._pending))]
        dropped: dict[Dropped, int] = {}
        for one in entry:
            if isinstance(one, Dropped):
                dropped[one] = dropped.get(one, 0) + 1
        records = tuple(one for one in entry if not isinstance(one, Dropped))
        return OutboxContents(records, dropped, tuple(recorder.requested_model for recorder in self._running.copy()))
