"""The proxy's listening socket and everything that comes in by it."""

import asyncio
import logging
import resource
from collections.abc import Callable
from contextlib import suppress

from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ProxySection
from goodwatt.sources.http.credentials import ServerTrust
from goodwatt.sources.proxy.context import Desk
from goodwatt.sources.proxy.downstream import Client
from goodwatt.sources.proxy.recording.outbox import Tally
from goodwatt.sources.proxy.upstream import Origin, Pool
from goodwatt.web.address import Address, cannot_listen, parse_address
from goodwatt.web.listener import start_serving

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
BACKLOG = 1024
_OWN_FILES = 256  # that the rest of the program may have open


class Listener:
    """Runs in the event loop that opens it."""

    def __init__(
        self, name: str, server: str, section: ProxySection, tally: Tally, over: Callable[[], None] = lambda: None
    ) -> None:
        """`over` is called once, when it has been closed and the last client has all of its answer."""
        self._name = name
        self._over = over
        self._address = parse_address(section.listen)
        trust = ServerTrust(name, section.tls)
        origin = Origin.of(section.upstream)
        pool = Pool(name, origin, section.connect_timeout_seconds, trust, server_name=section.tls.server_name)
        self._desk = Desk(server, section, pool, tally)
        self._listening: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether clients can connect."""
        return self._listening is not None

    @property
    def port(self) -> int:
        """Of an open one: the port that clients connect to."""
        assert self._listening is not None
        return int(self._listening.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Listen. Raises SourceUnavailable(CANNOT_LISTEN) with a line that says what to do."""
        desk, address = self._desk, self._address
        loop = asyncio.get_running_loop()
        try:
            bound = await loop.create_server(
                lambda: Client(desk), address.host or None, address.port, backlog=BACKLOG, start_serving=False
            )
            self._listening = await start_serving(bound)
        except OSError as error:
            why = cannot_listen(address, error, "proxy.listen")
            raise SourceUnavailable(Reason.CANNOT_LISTEN, f"{self._name}: {why}") from None
        _make_room(self._name, 2 * desk.section.max_concurrent_requests + _OWN_FILES)
        log.info("%s: passes on what comes to %s to %s", self._name, _shown(address, self.port), desk.pool.origin.shown)
        self._sweep_later()

    def close(self) -> None:
        """Take nothing more. Answers under way go on to their end, and are not counted any more."""
        self._desk.closes = True
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for client in tuple(self._desk.clients):
            client.close_if_idle()
        if not self._desk.clients:
            self._end()

    def abort(self) -> None:
        """Cut everything at once."""
        self.close()
        for client in tuple(self._desk.clients):
            client.abort()
        self._end()

    def _end(self) -> None:
        self._desk.pool.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        over, self._over = self._over, lambda: None
        over()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._swept)

    def _swept(self) -> None:
        now = self._desk.clock()
        for client in tuple(self._desk.clients):
            client.sweep(now)
        self._desk.pool.sweep()
        if self._desk.closes and not self._desk.clients:
            self._end()
        else:
            self._sweep_later()


def _shown(address: Address, port: int) -> Address:
    return address._replace(port=port)


def _make_room(name: str, files: int) -> None:
    """Each running request needs two open files: raise the process's own limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = enough(soft, hard, files)
    if most is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most is not None and most < files:
        line = "%s: only %d files may be open, too few for max_concurrent_requests; raise the limit (ulimit -n %d)"
        log.warning(line, name, most, files)


def enough(soft: int, hard: int, files: int) -> int | None:
    """The soft limit to set so that so many files may be open; None where it is high enough."""
    if soft == resource.RLIM_INFINITY or soft >= files:
        return None
    return files if hard == resource.RLIM_INFINITY else min(files, hard)
