"""Faults scheduled for the demo: what breaks, on which servers, from when and for how long."""

import asyncio
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from goodwatt.demo.server import ServerFaults

log = logging.getLogger(__name__)

SLOWDOWN = 8.0  # enough to miss every SLO and to grow a queue
DOWN_STATUS = 503
FORM = "KIND[:SERVER]@START[+LENGTH] in seconds, such as slow:chat@60+120"
_FORM = re.compile(r"([a-z]+)(?::([^@]+))?@(\d{1,6}(?:\.\d+)?)(?:\+(\d{1,6}(?:\.\d+)?))?")


class FaultKind(StrEnum):
    """A fault that a simulated server can have."""

    SLOW = "slow"  # every step takes SLOWDOWN times as long
    HANG = "hang"  # accepts requests but answers none
    DOWN = "down"  # answers DOWN_STATUS
    RESTART = "restart"  # loses its requests and counters at once


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault and when it happens. `servers` are names; with `length_seconds` None the fault is permanent."""

    kind: FaultKind
    servers: tuple[str, ...]
    start_seconds: float
    length_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} on {', '.join(self.servers)}"


def planned_fault(text: str, known: Collection[str]) -> PlannedFault:
    """Parse a fault on one of the known servers, or on all. Raises ValueError saying what to write."""
    parts = _FORM.fullmatch(text)
    if parts is None:
        raise ValueError(f"must be {FORM}; found '{text}'")
    kind, server, start, length = parts.groups()
    if kind not in tuple(FaultKind):
        raise ValueError(f"knows {', '.join(FaultKind)}; found '{kind}'")
    if server is not None and server not in known:
        raise ValueError(f"knows the servers {', '.join(known)}; found '{server}'")
    if kind == FaultKind.RESTART and length is not None:
        raise ValueError(f"restart takes no time; write {kind}@{start}")
    servers = tuple(known) if server is None else (server,)
    return PlannedFault(FaultKind(kind), servers, float(start), None if length is None else float(length))


async def play(planned: PlannedFault, faults: Mapping[str, ServerFaults]) -> None:
    """Start and end the fault at its times, counted from this call."""
    await asyncio.sleep(planned.start_seconds)
    log.warning("the demo's fault begins: %s", planned)
    for server in planned.servers:
        _begin(planned.kind, faults[server])
    if planned.length_seconds is not None:
        await asyncio.sleep(planned.length_seconds)
        for server in planned.servers:
            _end(planned.kind, faults[server])
        log.warning("the demo's fault has ended: %s", planned)


def _begin(kind: FaultKind, faults: ServerFaults) -> None:
    match kind:
        case FaultKind.SLOW:
            faults.slow_down(SLOWDOWN)
        case FaultKind.HANG:
            faults.hang()
        case FaultKind.DOWN:
            faults.http_status = DOWN_STATUS
        case FaultKind.RESTART:
            faults.restart()


def _end(kind: FaultKind, faults: ServerFaults) -> None:
    match kind:
        case FaultKind.SLOW:
            faults.slow_down(1.0)
        case FaultKind.HANG:
            faults.release()
        case FaultKind.DOWN:
            faults.http_status = None
        case FaultKind.RESTART:
            pass
