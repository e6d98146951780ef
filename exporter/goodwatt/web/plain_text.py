"""Short answers in plain text."""

from collections.abc import Mapping

from aiohttp import web


def text_response(line: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """One line or more, not to be kept by anybody."""
    body = line if line.endswith("\n") else line + "\n"
    return web.Response(text=body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
