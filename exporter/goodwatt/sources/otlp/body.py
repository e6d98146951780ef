"""The body of a request, whole and in bounded memory, or why it is refused."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

BODY_TIMEOUT_SECONDS = 10.0  # what an exporter gives a whole export, by default
MAX_BODIES_HELD = 4  # of the largest size: beyond it new ones are told to come again


class RejectedRequest(Exception):
    """An HTTP status and one line that says why. `again_seconds`: when to try again."""

    def __init__(self, status: int, why: str, again_seconds: int | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.again_seconds = again_seconds


class BodyReader:
    """Reads bodies of at most `largest` bytes, as they come and inflated, and holds a few of them at a time.

    Only one is inflated and decoded at a time: a thousandth of it may have been sent, and spans take a hundredfold.
    """

    def __init__(self, largest: int, seconds: float = BODY_TIMEOUT_SECONDS) -> None:
        self._largest = largest
        self._seconds = seconds
        self._held = 0
        self._one = asyncio.Lock()

    @asynccontextmanager
    async def opened(self, request: web.BaseRequest) -> AsyncIterator[bytes]:
        """The body without its compression; the next one waits until this one is done with. Raises Refused."""
        inflater = _inflater(request.headers.get("Content-Encoding", ""))
        content = bytearray()
        try:
            await self._receive(request, content)
            async with self._one:
                yield bytes(content) if inflater is None else self._inflated(inflater, content)
        finally:
            self._held -= len(content)

    async def _receive(self, request: web.BaseRequest, content: bytearray) -> None:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in _chunks(request):
                    self._hold(len(content), len(chunk))
                    content += chunk
        except TimeoutError:
            raise RejectedRequest(408, f"the body did not come within {self._seconds:g} s") from None

    def _hold(self, held: int, more: int) -> None:
        if held + more > self._largest:
            raise self._too_large()
        if self._held + more > MAX_BODIES_HELD * self._largest:
            raise RejectedRequest(429, "too much is being received at once", again_seconds=1)
        self._held += more

    def _inflated(self, inflater: "zlib._Decompress", content: bytearray) -> bytes:
        """One piece never becomes more than is allowed: a small body may inflate a thousandfold."""
        try:
            inflated = inflater.decompress(content, self._largest + 1)
        except zlib.error:
            raise RejectedRequest(400, "the body is said to be gzip, and is not") from None
        if len(inflated) > self._largest:
            raise self._too_large()
        if not inflater.eof or inflater.unused_data:
            raise RejectedRequest(400, "the gzip stream breaks off, or something follows it")
        return inflated

    def _too_large(self) -> RejectedRequest:
        return RejectedRequest(413, f"the body is larger than {self._largest} bytes; see otlp.largest_body_bytes")


async def _chunks(request: web.BaseRequest) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, web.RequestPayloadError, ConnectionError):
        raise RejectedRequest(400, "the body breaks off, or is no HTTP") from None


def _inflater(encoding: str) -> "zlib._Decompress | None":
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name not in ("gzip", "x-gzip"):
        raise RejectedRequest(415, "only gzip or no Content-Encoding is understood")
    return zlib.decompressobj(wbits=31)
