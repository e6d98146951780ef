"""The proxy's listening socket and its client connections."""

import asyncio
import logging
import resource
from collections.abc import Callable
from contextlib import suppress

from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ProxySection
from goodwatt.sources.http.credentials import ServerTrust
from goodwatt.sources.proxy.context import ProxyContext
from goodwatt.sources.proxy.downstream import ClientConnection
from goodwatt.sources.proxy.recording.outbox import RecordOutbox
from goodwatt.sources.proxy.upstream import Origin, UpstreamPool
from goodwatt.web.address import Address, cannot_listen, parse_address
from goodwatt.web.listener import start_serving

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
BACKLOG = 1024
_OWN_FILES = 256  # for the rest of the program


class Listener:
    """Accepts client connections. Call every method in the event loop that ran `open`."""

    def __init__(
        self,
        name: str,
        server: str,
        section: ProxySection,
        outbox: RecordOutbox,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_closed` is called once, after `close`, when the last client has its whole response."""
        self._name = name
        self._on_closed = on_closed
        self._address = parse_address(section.listen)
        trust = ServerTrust(name, section.tls)
        origin = Origin.of(section.upstream)
        pool = UpstreamPool(name, origin, section.connect_timeout_seconds, trust, server_name=section.tls.server_name)
        self._context = ProxyContext(server, section, pool, outbox)
        self._listening: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """Whether clients can connect."""
        return self._listening is not None

    @property
    def port(self) -> int:
        """The port clients connect to. Valid only while open."""
        assert self._listening is not None
        return int(self._listening.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Start listening. Raises SourceUnavailable(CANNOT_LISTEN) with a line that says what to do."""
        context, address = self._context, self._address
        loop = asyncio.get_running_loop()
        try:
            bound = await loop.create_server(
                lambda: ClientConnection(context),
                address.host or None,
                address.port,
                backlog=BACKLOG,
                start_serving=False,
            )
            self._listening = await start_serving(bound)
        except OSError as error:
            why = cannot_listen(address, error, "proxy.listen")
            raise SourceUnavailable(Reason.CANNOT_LISTEN, f"{self._name}: {why}") from None
        _raise_file_limit(self._name, 2 * context.section.max_concurrent_requests + _OWN_FILES)
        log.info(
            "%s: listening on %s, forwarding to %s", self._name, _shown(address, self.port), context.pool.origin.shown
        )
        self._sweep_later()

    def close(self) -> None:
        """Stop listening. Responses in progress finish but are no longer recorded."""
        self._context.closing = True
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for client in tuple(self._context.clients):
            client.close_if_idle()
        if not self._context.clients:
            self._end()

    def abort(self) -> None:
        """Close all connections immediately."""
        self.close()
        for client in tuple(self._context.clients):
            client.abort()
        self._end()

    def _end(self) -> None:
        self._context.pool.close()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        on_closed, self._on_closed = self._on_closed, lambda: None
        on_closed()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._swept)

    def _swept(self) -> None:
        now = self._context.clock()
        for client in tuple(self._context.clients):
            client.sweep(now)
        self._context.pool.sweep()
        if self._context.closing and not self._context.clients:
            self._end()
        else:
            self._sweep_later()


def _shown(address: Address, port: int) -> Address:
    return address._replace(port=port)


def _raise_file_limit(name: str, files: int) -> None:
    """Raise the process's soft limit on open files: each running request needs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = raised_file_limit(soft, hard, files)
    if most is not None:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most is not None and most < files:
        line = "%s: only %d files may be open, too few for max_concurrent_requests; raise the limit (ulimit -n %d)"
        log.warning(line, name, most, files)


def raised_file_limit(soft: int, hard: int, files: int) -> int | None:
    """Return the soft limit to set for `files` open files, or None if the present one suffices."""
    if soft == resource.RLIM_INFINITY or soft >= files:
        return None
    return files if hard == resource.RLIM_INFINITY else min(files, hard)
