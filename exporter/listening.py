"""Sockets to listen on."""

import asyncio
import socket

from exporter.address import Address
from exporter.connections import Connections, limit_unread

BACKLOG = 128


async def listen(connections: Connections, address: Address) -> asyncio.Server:
    """Serve every connection to an address; an empty host is every interface. Raises OSError.

    In two steps, so that nobody who gives up in between leaves an open socket behind.
    """
    server = await _bound(connections, address)
    try:
        await server.start_serving()
    except BaseException:
        server.close()
        raise
    return server


async def _bound(connections: Connections, address: Address) -> asyncio.Server:
    create = asyncio.get_running_loop().create_server
    if address.host in ("", "::"):
        return await create(connections, sock=_everywhere(address), backlog=BACKLOG, start_serving=False)
    server = await create(connections, address.host, address.port, backlog=BACKLOG, start_serving=False)
    for listening in server.sockets:
        limit_unread(listening)
    return server


def _everywhere(address: Address) -> socket.socket:
    """One socket for IPv4 and IPv6 where there is IPv6, so that a port chosen by the system is the same for both."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or address.host else socket.AF_INET
    listening = socket.create_server((address.host, address.port), family=family, dualstack_ipv6=dual, backlog=BACKLOG)
    listening.setblocking(False)
    limit_unread(listening)
    return listening
