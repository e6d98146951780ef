"""The pool of connections to the server behind the proxy."""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from goodwatt.model.source import SourceUnavailable
from goodwatt.sources.http.credentials import ServerTrust
from goodwatt.sources.proxy.http1.head import BadMessage

log = logging.getLogger(__name__)

UPSTREAM_IDLE_SECONDS = 2.0  # less than servers keep an idle connection: uvicorn and llama-server close it after 5 s

_NO_NAME = "the host name does not resolve; check upstream"


class ResponseReceiver(Protocol):
    """Receives the events of the upstream connection it uses."""

    def response_received(self, wire: bytes) -> None:
        """Take bytes of the response."""
        ...

    def upstream_closed(self, *, reset: bool) -> None:
        """Note that the connection closed; `reset` if it was not closed cleanly."""
        ...

    def pause_request(self, paused: bool) -> None:
        """Pause or resume the request's body, as the server's send buffer fills or drains."""
        ...


class Origin(NamedTuple):
    """The server's address. `shown` is the form for logs and clients, without credentials."""

    host: str
    port: int
    prefix: bytes
    host_field: bytes
    is_tls: bool
    shown: str

    @classmethod
    def of(cls, url: str) -> "Origin":
        """Parse an http or https URL that the configuration has validated."""
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        host = parts.hostname or ""
        place = f"[{host}]" if ":" in host else host
        named = place if parts.port is None else f"{place}:{port}"
        prefix = parts.path.rstrip("/")
        return cls(host, port, prefix.encode(), named.encode(), is_tls, f"{parts.scheme}://{named}{prefix}")


class Upstream(asyncio.Protocol):
    """One connection to the server. It serves one exchange at a time."""

    def __init__(self, pool: "UpstreamPool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self.exchange: ResponseReceiver | None = None
        self.reused = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Record the transport (asyncio callback)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the exchange (asyncio callback). Unsolicited bytes close the connection."""
        if self.exchange is None:
            self.close()
        else:
            self.exchange.response_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection (asyncio callback)."""
        exchange, self.exchange = self.exchange, None
        self._pool.forget(self)
        if exchange is not None:
            exchange.upstream_closed(reset=exc is not None)

    def pause_writing(self) -> None:
        """Pause the other side (asyncio callback)."""
        if self.exchange is not None:
            self.exchange.pause_request(True)

    def resume_writing(self) -> None:
        """Resume the other side (asyncio callback)."""
        if self.exchange is not None:
            self.exchange.pause_request(False)

    def write(self, wire: bytes) -> None:
        """Send, or buffer until the server accepts it."""
        assert self._transport is not None
        self._transport.write(wire)

    def read(self, *, on: bool) -> None:
        """Resume (`on`) or pause reading the response."""
        assert self._transport is not None
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    @property
    def request_flushed(self) -> bool:
        """Whether everything written has been sent to the server."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size() == 0

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closing, although `connection_lost` has not run yet."""
        assert self._transport is not None
        return self._transport.is_closing()

    def close(self) -> None:
        """Close immediately. The exchange receives no further events."""
        self.exchange = None
        self._pool.forget(self)
        assert self._transport is not None
        self._transport.abort()


class UpstreamPool:
    """Opens connections to one server and keeps idle ones for reuse."""

    def __init__(
        self,
        name: str,
        origin: Origin,
        connect_seconds: float,
        trust: ServerTrust,
        *,
        server_name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        self._name = name
        self._connect_seconds = connect_seconds
        self._trust = trust
        self._server_name = server_name
        self._clock = clock
        self._idle: list[Upstream] = []
        self._down = False

    def take_idle(self) -> Upstream | None:
        """Return the most recently used idle connection, or None."""
        while self._idle:
            found = self._idle.pop()
            if self._clock() - found.idle_since <= UPSTREAM_IDLE_SECONDS and not found.is_closing:
                found.reused = True
                return found
            found.close()
        return None

    async def connect(self) -> Upstream:
        """Open a connection. Raises BadMessage with status 502 or 504."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                upstream = await self._connect()
        except TimeoutError:
            why = f"no connection to {self.origin.shown} within {self._connect_seconds:g} s; is the server running?"
            raise self._failed(504, why) from None
        except OSError as error:  # ssl.SSLError and socket.gaierror are of its kind
            raise self._failed(502, f"cannot reach {self.origin.shown}: {_reason(error)}") from None
        except ValueError:  # UnicodeError, from a name that cannot be looked up, is of its kind
            raise self._failed(502, f"cannot reach {self.origin.shown}: {_NO_NAME} and tls.server_name") from None
        except SourceUnavailable as failure:  # a file of ours
            raise self._failed(502, failure.detail.removeprefix(f"{self._name}: ")) from None
        if self._down:
            log.info("%s: %s is reachable again", self._name, self.origin.shown)
            self._down = False
        return upstream

    async def _connect(self) -> Upstream:
        origin = self.origin
        _, upstream = await asyncio.get_running_loop().create_connection(
            lambda: Upstream(self),
            origin.host,
            origin.port,
            ssl=self._trust.context() if origin.is_tls else None,
            server_hostname=self._server_name if origin.is_tls else None,
        )
        return upstream

    def _failed(self, status: int, why: str) -> BadMessage:
        if not self._down:
            log.warning("%s: %s", self._name, why)
        self._down = True
        return BadMessage(status, why)

    def release(self, upstream: Upstream) -> None:
        """Return a connection to the pool after a complete exchange."""
        upstream.exchange = None
        upstream.idle_since = self._clock()
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """Remove a closed connection from the pool."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def sweep(self) -> None:
        """Close connections that have been idle for UPSTREAM_IDLE_SECONDS."""
        now = self._clock()
        for upstream in [one for one in self._idle if now - one.idle_since > UPSTREAM_IDLE_SECONDS]:
            upstream.close()

    def close(self) -> None:
        """Close all idle connections."""
        for upstream in tuple(self._idle):
            upstream.close()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", None) or error.reason or "the handshake failed"
        return f"TLS failed: {str(why).lower().replace('_', ' ').rstrip('.')}; check upstream and tls"
    if error.errno is not None and error.errno > 0:
        return f"{os.strerror(error.errno).lower()}; is the server running?"
    if error.errno is not None:  # of looking the name up
        return _NO_NAME
    return "no address accepts connections; is the server running?"
