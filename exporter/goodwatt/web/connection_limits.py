"""Limits on the number of connections and on how long an idle one may stay open."""

import asyncio
import logging
import socket
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

MAX_CONNECTIONS = 256
FIRST_REQUEST_TIMEOUT_SECONDS = 30.0
IDLE_TIMEOUT_SECONDS = 330.0  # longer than common scrape intervals, so scrapers can keep their connection
UNREAD_TIMEOUT_SECONDS = 30


class WebServerLogger(logging.LoggerAdapter[logging.Logger]):
    """Passes on aiohttp's log without errors about non-HTTP requests, which every port scan causes."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log `msg` unless it reports an HttpProcessingError."""
        if not isinstance(kwargs.get("exc_info"), HttpProcessingError):
            super().log(level, msg, *args, **kwargs)


class ConnectionLimits:
    """Protocol factory for a listening socket. Caps open connections and aborts those idle for too long."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._idle: dict[object, tuple[float, float]] = {}  # idle since, and allowed idle seconds

    def __call__(self) -> asyncio.Protocol:
        """A protocol for one new connection; above MAX_CONNECTIONS it closes the connection immediately."""
        return _OverLimit() if len(self._server.connections) >= MAX_CONNECTIONS else self._server()

    def request_received(self, connection: object, now: float) -> None:
        """Reset the idle timer of a connection that sent a complete request."""
        self._idle[connection] = now, IDLE_TIMEOUT_SECONDS

    def sweep(self, now: float) -> None:
        """Abort idle connections. Call it every few seconds: a new connection's timer starts at the first sweep."""
        fresh = now, FIRST_REQUEST_TIMEOUT_SECONDS
        self._idle = {c: self._idle.get(c, fresh) for c in self._server.connections}
        for connection in self._server.connections:
            idle_since, allowed = self._idle[connection]
            if now - idle_since > allowed:
                _abort(connection)


def drop_stalled_readers(listening: socket.socket) -> None:
    """Make the kernel drop peers that accept no bytes for UNREAD_TIMEOUT_SECONDS, where it supports that."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, UNREAD_TIMEOUT_SECONDS * 1000)


def _abort(connection: RequestHandler) -> None:
    transport = connection.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class _OverLimit(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
