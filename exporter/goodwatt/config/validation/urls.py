"""Addresses of servers: what is wrong with one, and when two are the same. None of their text is ever repeated."""

import re
from urllib.parse import SplitResult, urlsplit

_HOST = re.compile(r"(?![.-])(?!.*\.\.)[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PORTS = {"http": 80, "https": 443}


def url_message(url: str) -> str | None:
    """What is wrong with an http address, without repeating any of it; None for a good one."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return "holds a space or a control character; remove it"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "has brackets that hold no IPv6 address; write http://[::1]:8000"
    if parts.scheme not in _PORTS or not url.lower().startswith(f"{parts.scheme}://"):
        return "must begin with http:// or https://"
    if "@" in parts.netloc:
        return "holds a user name or password; move them to basic_auth or bearer_token_file"
    if "#" in url:
        return "holds a '#'; remove it and what follows"
    return _host_message(parts)


def _host_message(parts: SplitResult) -> str | None:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        port, host = 0, parts.hostname
    if not host:
        return "names no host; write http://HOST:PORT"
    if not _HOST.fullmatch(host):
        return "holds a character that no host name has; write http://HOST:PORT"
    if port == 0:
        return "has a port that is not a number from 1 to 65535"
    return None


def same_page(url: str) -> tuple[str, str | None, int | None, str, str]:
    """What two good URLs share when they lead to the same page."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/"), parts.query
