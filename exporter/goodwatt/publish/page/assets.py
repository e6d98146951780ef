"""The static files of the page. All are part of the package; nothing is loaded from elsewhere."""

from hashlib import sha256
from importlib.resources import files
from typing import NamedTuple

_HOME = files("goodwatt.publish.page")


class Asset(NamedTuple):
    """A static file; `tag` is its ETag, which changes with its content."""

    path: str
    content_type: str
    body: bytes
    tag: str


def _asset(name: str, content_type: str) -> Asset:
    body = _HOME.joinpath(name).read_bytes()
    return Asset(f"/-/{name}", content_type, body, sha256(body).hexdigest()[:16])


SCRIPT = _asset("page.js", "text/javascript")
STYLE = _asset("page.css", "text/css")
ICON = _asset("icon.svg", "image/svg+xml")
ASSETS = (SCRIPT, STYLE, ICON)
VERSION = "-".join((SCRIPT.tag, STYLE.tag))
