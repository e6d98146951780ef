"""How long a server with requests in progress has made no progress: an engine that hangs still serves its page."""

from collections.abc import Mapping

from goodwatt.derive.page_growth import PageGrowth
from goodwatt.model.engine import EngineReading, Moves, Signal

_IN_PROGRESS = (Signal.REQUESTS_RUNNING, Signal.REQUESTS_WAITING)


def update_progress(progressed: Mapping[str, float], growth: PageGrowth, now: float) -> dict[str, float]:
    """Return by server when it last made progress: any counter or histogram moved, or nothing was in progress."""
    reading = growth.reading
    moved = any(value > 0 for value in growth.counts.values()) or any(h.count > 0 for h in growth.histograms.values())
    waits = any(value > 0 for (signal, _), value in reading.gauges.items() if signal in _IN_PROGRESS)
    if moved or not waits or reading.server not in progressed:
        return {**progressed, reading.server: now}
    return dict(progressed)


def stalled_seconds(
    progressed: Mapping[str, float], pages: Mapping[str, EngineReading], now: float
) -> dict[str, float]:
    """Return the seconds since each server last made progress.

    A server whose page cannot show that is absent: its tokens move only when a request ends, so a long request looks
    like a hang, or its gauge of running requests may be older than the page.
    """
    return {
        server: now - progressed[server]
        for server, page in pages.items()
        if server in progressed and page.traits.tokens_move is Moves.STEP and page.traits.running_is_current
    }
