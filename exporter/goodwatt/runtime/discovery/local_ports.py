"""Discovers servers on well-known local ports when none is configured: at start, then every 30 seconds."""

import logging
from collections.abc import Mapping, Sequence

from goodwatt.config.plan import Plan
from goodwatt.engines.profile import Profile
from goodwatt.runtime.discovery.probe import WELL_KNOWN_PORTS, find_servers
from goodwatt.runtime.server_selection import Candidate
from goodwatt.settings.sources import ServerSection

log = logging.getLogger(__name__)

PERIOD_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 0.5
FORGET_FOREIGN_SECONDS = 600.0  # a port that answered as another program is probed again after this


class LocalPorts:
    """The servers found so far. A server found once is kept while it is down; its port identifies it."""

    def __init__(self, own_port: int = 0, ports: Sequence[int] = WELL_KNOWN_PORTS) -> None:
        self._ports = [port for port in ports if port != own_port]
        self._found: dict[int, ServerSection] = {}
        self._foreign: set[str] = set()
        self._refreshed_seconds: float | None = None
        self._forgot_seconds = 0.0
        self._silent = False

    async def refresh(self, profiles: Mapping[str, Profile], now: float) -> bool:
        """Probe the ports, at most once in PERIOD_SECONDS; return whether a new server was found."""
        if self._refreshed_seconds is not None and now - self._refreshed_seconds < PERIOD_SECONDS:
            return False
        if self._refreshed_seconds is None or now - self._forgot_seconds >= FORGET_FOREIGN_SECONDS:
            self._foreign.clear()
            self._forgot_seconds = now
        self._refreshed_seconds = now
        found = await find_servers(
            profiles,
            self._ports,
            exclude_ports=self._found.keys(),
            not_again=self._foreign,
            timeout_seconds=PROBE_TIMEOUT_SECONDS,
        )
        for server in found:
            log.info("server/%s: found at %s", server.name, server.url)
            self._found[server.port] = ServerSection(name=server.name, url=server.url)
        self._log_if_none()
        return bool(found)

    def candidates(self, plan: Plan) -> list[Candidate]:
        """Return every server found so far, with a timeout that fits the interval."""
        return [Candidate(plan.with_timeout(section), "the local ports") for section in self._found.values()]

    def forget(self) -> None:
        """Drop every server found; the next refresh probes at once."""
        self._found.clear()
        self._refreshed_seconds = None
        self._silent = False

    def _log_if_none(self) -> None:
        if not self._found and not self._silent:
            ports = ", ".join(str(port) for port in self._ports)
            log.warning("no inference server answers on the local ports %s; start one, or name it in servers:", ports)
        self._silent = not self._found
