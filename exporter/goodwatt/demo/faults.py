"""Faults that the demo is asked for beforehand: what breaks, on which server, from when and for how long."""

import asyncio
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from goodwatt.demo.server import ServerFaults

log = logging.getLogger(__name__)

SLOWDOWN = 8.0  # enough that no answer is in time, and a queue grows
DOWN_STATUS = 503
FORM = "KIND[:SERVER]@START[+LENGTH] in seconds, such as slow:chat@60+120"
_FORM = re.compile(r"([a-z]+)(?::([^@]+))?@(\d{1,6}(?:\.\d+)?)(?:\+(\d{1,6}(?:\.\d+)?))?")


class FaultKind(StrEnum):
    """What may go wrong with a simulated server."""

    SLOW = "slow"  # every step takes SLOWDOWN times as long
    HANG = "hang"  # accepts requests and answers none
    DOWN = "down"  # answers DOWN_STATUS
    RESTART = "restart"  # loses its requests and its counters, in a moment


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """`servers` are names. `length_seconds` None: it stays."""

    kind: FaultKind
    servers: tuple[str, ...]
    start_seconds: float
    length_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} on {', '.join(self.servers)}"


def planned_fault(text: str, known: Collection[str]) -> PlannedFault:
    """A fault as people write it, on one of the known servers or on all. Raises ValueError with what to write."""
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
    """Let it happen when its time comes, and end when its time is over. It begins when this is called."""
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
