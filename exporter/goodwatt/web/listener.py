"""Runs an aiohttp server on one address, with connection limits and a shutdown that no client can delay."""

import asyncio
import socket
import time
from collections.abc import Callable

from aiohttp import web

from goodwatt.web.address import Address
from goodwatt.web.connection_limits import ConnectionLimits, drop_stalled_readers

LISTEN_BACKLOG = 128
LISTENER_CLOSE_SECONDS = 0.5  # pass as the runner's `shutdown_timeout`
SWEEP_INTERVAL_SECONDS = 5.0


class WebListener:
    """Serves an aiohttp runner on one address and aborts idle connections. Start it once."""

    def __init__(self, runner: web.AppRunner | web.ServerRunner, clock: Callable[[], float] = time.monotonic) -> None:
        self._runner = runner
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._connections: ConnectionLimits | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def port(self) -> int:
        """The bound port. Valid only between start and aclose."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, address: Address) -> None:
        """Bind and serve; an empty host means all interfaces. On failure raises OSError and releases everything."""
        await self._runner.setup()
        assert self._runner.server is not None
        self._connections = ConnectionLimits(self._runner.server)
        try:
            self._server = await _listen(self._connections, address)
        except BaseException:
            await self.aclose()
            raise
        self._sweep_later()

    def request_received(self, request: web.BaseRequest) -> None:
        """Reset the idle timer of the request's connection. Call it for every request."""
        assert self._connections is not None
        self._connections.request_received(request.protocol, self._clock())

    async def aclose(self) -> None:
        """Stop within about LISTENER_CLOSE_SECONDS, whatever clients do. Safe to call twice."""
        if self._sweep is not None:
            self._sweep.cancel()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _sweep_later(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_SECONDS, self._swept)

    def _swept(self) -> None:
        assert self._connections is not None
        self._connections.sweep(self._clock())
        self._sweep_later()


async def _listen(connections: ConnectionLimits, address: Address) -> asyncio.Server:
    return await start_serving(await _bound(connections, address))


async def start_serving(bound: asyncio.Server) -> asyncio.Server:
    """Start a server created with `start_serving=False`; if it fails or is cancelled, the socket is closed."""
    try:
        await bound.start_serving()
    except BaseException:
        bound.close()
        raise
    return bound


async def _bound(connections: ConnectionLimits, address: Address) -> asyncio.Server:
    create = asyncio.get_running_loop().create_server
    if address.host in ("", "::"):
        return await create(connections, sock=_all_interfaces(address), backlog=LISTEN_BACKLOG, start_serving=False)
    server = await create(connections, address.host, address.port, backlog=LISTEN_BACKLOG, start_serving=False)
    for listening in server.sockets:
        drop_stalled_readers(listening)
    return server


def _all_interfaces(address: Address) -> socket.socket:
    """One dual-stack socket where IPv6 is available, so that port 0 gives the same port for both families."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or address.host else socket.AF_INET
    listening = socket.create_server(
        (address.host, address.port), family=family, dualstack_ipv6=dual, backlog=LISTEN_BACKLOG
    )
    listening.setblocking(False)
    drop_stalled_readers(listening)
    return listening
