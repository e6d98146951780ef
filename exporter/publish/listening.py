"""Sockets to listen on."""

import asyncio
import socket

from exporter.publish.address import Address
from exporter.publish.connections import Connections, limit_unread

BACKLOG = 128


async def listen(connections: Connections, address: Address) -> asyncio.Server:
    """Serve every connection to an address; an empty host is every interface. Raises OSError."""
    loop = asyncio.get_running_loop()
    if address.host in ("", "::"):
        return await loop.create_server(connections, sock=_everywhere(address), backlog=BACKLOG)
    server = await loop.create_server(connections, address.host, address.port, backlog=BACKLOG)
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
