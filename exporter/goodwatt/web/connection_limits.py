"""Limits on clients that hold a connection and do nothing with it."""

import asyncio
import logging
import socket
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

MAX_CONNECTIONS = 256
FIRST_REQUEST_TIMEOUT_SECONDS = 30.0
IDLE_TIMEOUT_SECONDS = 330.0  # longer than any usual scrape interval, so that no scraper has to connect anew
UNREAD_TIMEOUT_SECONDS = 30


class WebServerLogger(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp logs, without the requests that are no HTTP: every port scan sends some."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """As the logger does."""
        if not isinstance(kwargs.get("exc_info"), HttpProcessingError):
            super().log(level, msg, *args, **kwargs)


class ConnectionLimits:
    """Makes aiohttp's protocols for a listening socket, and cuts connections that have been silent for too long."""

    def __init__(self, server: web.Server) -> None:
        self._server = server
        self._progress: dict[object, tuple[float, float]] = {}  # since when it is silent, and how long it may be

    def __call__(self) -> asyncio.Protocol:
        """A protocol for one new connection. One connection too many is closed at once."""
        return _Refusal() if len(self._server.connections) >= MAX_CONNECTIONS else self._server()

    def request_received(self, connection: object, now: float) -> None:
        """Note that a whole request came on a connection."""
        self._progress[connection] = now, IDLE_TIMEOUT_SECONDS

    def sweep(self, now: float) -> None:
        """Cut whoever is over time. Call it every few seconds: a new connection's time starts at the first sweep."""
        fresh = now, FIRST_REQUEST_TIMEOUT_SECONDS
        self._progress = {c: self._progress.get(c, fresh) for c in self._server.connections}
        for connection in self._server.connections:
            since, allowed = self._progress[connection]
            if now - since > allowed:
                _cut(connection)


def drop_stalled_readers(listening: socket.socket) -> None:
    """Let the kernel end accepted connections whose peer takes no bytes for UNREAD_SECONDS, where it can."""
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, UNREAD_TIMEOUT_SECONDS * 1000)


def _cut(connection: RequestHandler) -> None:
    transport = connection.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
