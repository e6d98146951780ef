"""Detects repeated spans in bounded memory."""

import math

from goodwatt.model.request import Dropped

MAX_SPANS_PER_GENERATION = 50_000  # two generations are kept
GENERATION_SECONDS = 300.0  # longer than any exporter retries


class RecentSpans:
    """Remembers span keys for two generations.

    A span that ended before the older generation began may repeat a forgotten one, so it is dropped as late.
    """

    def __init__(self, most: int = MAX_SPANS_PER_GENERATION, generation_seconds: float = GENERATION_SECONDS) -> None:
        self._most = most
        self._generation_seconds = generation_seconds
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._young_since: float | None = None
        self._all_known_since = -math.inf

    def drop_reason(self, key: bytes, ended_unix_seconds: float) -> Dropped | None:
        """DUPLICATE or LATE if the span must not be counted, otherwise None."""
        if key in self._young or key in self._old:
            return Dropped.DUPLICATE
        return Dropped.LATE if ended_unix_seconds <= self._all_known_since else None

    def remember(self, key: bytes, now_unix_seconds: float) -> None:
        """Record that a span has been counted."""
        since = self._young_since
        if since is not None and (
            len(self._young) >= self._most or now_unix_seconds - since >= self._generation_seconds
        ):
            if self._old:
                self._all_known_since = since
            self._old, self._young, self._young_since = self._young, set(), now_unix_seconds
        elif since is None or now_unix_seconds < since:  # the first span, or the clock was set back
            self._young_since = now_unix_seconds
            self._all_known_since = min(self._all_known_since, now_unix_seconds)
        self._young.add(key)
