"""Validates and compares server URLs. No message quotes any part of a URL."""

import re
from urllib.parse import SplitResult, urlsplit

_HOST = re.compile(r"(?![.-])(?!.*\.\.)[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PORTS = {"http": 80, "https": 443}


def url_message(url: str) -> str | None:
    """Return what is wrong with an http or https URL, without quoting it; None if it is valid."""
    if any(character.isspace() or not character.isprintable() for character in url):
        return "contains a space or a control character; remove it"
    try:
        parts = urlsplit(url)
    except ValueError:
        return "has brackets without a valid IPv6 address; write http://[::1]:8000"
    if parts.scheme not in _PORTS or not url.lower().startswith(f"{parts.scheme}://"):
        return "must start with http:// or https://"
    if "@" in parts.netloc:
        return "contains a user name or password; move them to basic_auth or bearer_token_file"
    if "#" in url:
        return "contains a '#'; remove it and everything after it"
    return _host_message(parts)


def _host_message(parts: SplitResult) -> str | None:
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        port, host = 0, parts.hostname
    if not host:
        return "has no host; write http://HOST:PORT"
    if not _HOST.fullmatch(host):
        return "contains a character that is not allowed in a host name; write http://HOST:PORT"
    if port == 0:
        return "has a port that is not a number from 1 to 65535"
    return None


def same_page(url: str) -> tuple[str, str | None, int | None, str, str]:
    """Return a key that two valid URLs share if they lead to the same page."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/"), parts.query
