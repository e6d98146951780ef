"""One HTTP GET in bounded memory. Every failure becomes SourceUnavailable with a line for the operator."""

import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from goodwatt.model.source import Reason
from goodwatt.sources.http.errors import (
    connection_error,
    page_too_large,
    redacted_url,
    source_unavailable,
    truncated_response,
)

MAX_PAGE_BYTES = 16 * 1024 * 1024  # bytes, decompressed
_LARGEST_ERROR = 4096
_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A URL with the headers and TLS settings for it. `source` prefixes every error message."""

    source: str
    url: URL
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The page, or the start of an error body. `at_seconds` is when the response headers arrived."""

    status: int
    body: str
    content_type: str
    at_seconds: float


def new_http_session() -> aiohttp.ClientSession:
    """A session without cookies, timeout or decompression: http_get decompresses, and callers set deadlines."""
    return aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=None)
    )


async def http_get(session: aiohttp.ClientSession, target: HttpTarget, clock: Callable[[], float]) -> HttpAnswer:
    """GET a page and return the response whatever its status. Redirects are followed within the same origin only.

    If the server closed a kept-alive connection, aiohttp reconnects once, as it does for any GET.
    """
    url = target.url
    for _ in range(_REDIRECTS + 1):
        try:
            answer = await _get(session, target, url, clock)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise connection_error(target.source, url, error) from None
        if isinstance(answer, HttpAnswer):
            return answer
        url = _redirected(target, url, answer)
    raise source_unavailable(
        target.source, Reason.HTTP_ERROR, f"{redacted_url(target.url)} redirects in a loop; check the url"
    )


async def _get(
    session: aiohttp.ClientSession, target: HttpTarget, url: URL, clock: Callable[[], float]
) -> HttpAnswer | str:
    """The response, or the Location of a redirect."""
    async with session.get(
        url,
        headers=target.headers,
        ssl=target.tls if target.tls is not None else True,
        server_hostname=target.server_name if url.scheme == "https" else None,
        allow_redirects=False,
    ) as response:
        at_seconds = clock()
        if response.status in (301, 302, 303, 307, 308):
            return response.headers.get("Location", "")
        body = await _page(target, url, response) if response.status == 200 else await _beginning(response)
        return HttpAnswer(response.status, body, response.headers.get("Content-Type", ""), at_seconds)


async def _page(target: HttpTarget, url: URL, response: aiohttp.ClientResponse) -> str:
    decoder = _decoder(target, url, response.headers.get("Content-Encoding", "identity").strip().lower())
    content = bytearray()
    async for chunk in response.content.iter_any():
        room = MAX_PAGE_BYTES - len(content) + 1
        content += chunk if decoder is None else _inflate(target, url, decoder, chunk, room)
        if len(content) > MAX_PAGE_BYTES:
            raise page_too_large(target.source, url, MAX_PAGE_BYTES)
    if decoder is not None and not decoder.eof:
        raise truncated_response(target.source, url)
    return content.decode("utf-8-sig", "replace")


def _decoder(target: HttpTarget, url: URL, encoding: str) -> "zlib._Decompress | None":
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip"):
        detail = f"{redacted_url(url)} answers in an encoding that was not requested; turn off compression for metrics"
        raise source_unavailable(target.source, Reason.NOT_METRICS, detail)
    return zlib.decompressobj(wbits=31)


def _inflate(target: HttpTarget, url: URL, decoder: "zlib._Decompress", chunk: bytes, room: int) -> bytes:
    """Decompress at most `room` bytes, since gzip can expand a thousandfold."""
    try:
        return decoder.decompress(chunk, room)
    except zlib.error:
        detail = f"{redacted_url(url)} declares gzip but sends something else; check the proxies in between"
        raise source_unavailable(target.source, Reason.NOT_METRICS, detail) from None


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The start of an error body, to recognise the engine; empty if the connection breaks."""
    try:
        return (await response.content.read(_LARGEST_ERROR)).decode("utf-8", "replace")
    except aiohttp.ClientError:
        return ""


def _redirected(target: HttpTarget, url: URL, location: str) -> URL:
    try:
        new = url.join(URL(location))
        same = new.origin() == url.origin()
    except ValueError:
        raise source_unavailable(
            target.source, Reason.HTTP_ERROR, f"{redacted_url(url)} redirects without a valid address"
        ) from None
    if not same:
        other = redacted_url(new.origin())
        detail = f"{redacted_url(url)} redirects to {other}, which is not followed; set url to the final address"
        raise source_unavailable(target.source, Reason.HTTP_ERROR, detail)
    return new
