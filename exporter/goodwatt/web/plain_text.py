"""Plain-text HTTP responses."""

from collections.abc import Mapping

from aiohttp import web


def text_response(line: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A text/plain response that ends in a newline and must not be cached."""
    body = line if line.endswith("\n") else line + "\n"
    return web.Response(text=body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
