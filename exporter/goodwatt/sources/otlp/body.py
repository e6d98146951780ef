"""Reads request bodies in bounded memory and bounded time, or rejects them with an HTTP status."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

BODY_TIMEOUT_SECONDS = 10.0  # the default export timeout of OpenTelemetry SDKs
MAX_BODIES_HELD = 4  # of the maximum size; beyond that, new requests get 429


class RejectedRequest(Exception):
    """An HTTP status and one line that says why. `retry_after_seconds` is sent as Retry-After."""

    def __init__(self, status: int, why: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.retry_after_seconds = retry_after_seconds


class BodyReader:
    """Reads bodies of at most `largest` bytes, compressed and decompressed, and limits their total.

    Only one body is decompressed and decoded at a time: gzip can expand a thousandfold and decoded spans a hundredfold.
    """

    def __init__(self, largest: int, seconds: float = BODY_TIMEOUT_SECONDS) -> None:
        self._largest = largest
        self._seconds = seconds
        self._held_bytes = 0
        self._decoding = asyncio.Lock()

    @asynccontextmanager
    async def opened(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        """The decompressed body. Other bodies wait until this one is processed. Raises RejectedRequest."""
        inflater = _inflater(request.headers.get("Content-Encoding", ""))
        content = bytearray()
        try:
            await self._receive(request, content)
            async with self._decoding:
                yield bytes(content) if inflater is None else self._inflated(inflater, content)
        finally:
            self._held_bytes -= len(content)

    async def _receive(self, request: web.BaseRequest, content: bytearray) -> None:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in _chunks(request):
                    self._reserve(len(content), len(chunk))
                    content += chunk
        except TimeoutError:
            raise RejectedRequest(408, f"the body did not arrive within {self._seconds:g} s") from None

    def _reserve(self, held: int, more: int) -> None:
        if held + more > self._largest:
            raise self._too_large()
        if self._held_bytes + more > MAX_BODIES_HELD * self._largest:
            raise RejectedRequest(429, "too many bodies in flight; retry later", retry_after_seconds=1)
        self._held_bytes += more

    def _inflated(self, inflater: "zlib._Decompress", content: bytearray) -> bytes:
        """Decompress at most the allowed size, since gzip can expand a thousandfold."""
        try:
            inflated = inflater.decompress(content, self._largest + 1)
        except zlib.error:
            raise RejectedRequest(400, "Content-Encoding is gzip, but the body is not") from None
        if len(inflated) > self._largest:
            raise self._too_large()
        if not inflater.eof or inflater.unused_data:
            raise RejectedRequest(400, "the gzip stream is truncated or has trailing bytes")
        return inflated

    def _too_large(self) -> RejectedRequest:
        return RejectedRequest(413, f"the body is larger than {self._largest} bytes; see otlp.largest_body_bytes")


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError):
        raise RejectedRequest(400, "the body is truncated or not valid HTTP") from None


def _inflater(encoding: str) -> "zlib._Decompress | None":
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in ("gzip", "x-gzip"):
        raise RejectedRequest(415, "Content-Encoding must be gzip or absent")
    return zlib.decompressobj(wbits=31)
