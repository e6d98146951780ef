"""Checks the proxies in the file. No message contains a server address, which may contain a secret."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from goodwatt.config.validation.entries import list_entries, mistake, repeated
from goodwatt.config.validation.urls import same_page, url_message
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue
from goodwatt.web.address import Address, parse_address

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def find_proxy_mistakes(document: Document) -> Iterator[Mistake]:
    """Find servers without url and proxy, proxies on the same address, and proxies that forward to themselves."""
    for path, server in list_entries(document, "servers"):
        if "url" not in server and "proxy" not in server:
            message = "the key 'url' is missing; add it, or a proxy where the server has no metrics page"
            yield mistake(document, path, message)
    for path, proxy in _proxies(document):
        yield from _proxy_mistakes(document, path, proxy)
    yield from repeated(document, _listening(document), "proxy.listen")


def _proxies(document: Document) -> Iterator[tuple[KeyPath, dict[str, YamlValue]]]:
    for path, server in list_entries(document, "servers"):
        if isinstance(server.get("proxy"), dict):
            yield (*path, "proxy"), server["proxy"]


def _proxy_mistakes(document: Document, path: KeyPath, proxy: dict[str, YamlValue]) -> Iterator[Mistake]:
    good: dict[str, str] = {}
    for key, message in (("listen", listen_message), ("upstream", upstream_message)):
        value = proxy.get(key)
        why = message(value) if isinstance(value, str) else None
        if why:
            yield mistake(document, (*path, key), why)
        elif isinstance(value, str):
            good[key] = value
    if len(good) > 1 and _is_itself(**good):
        yield mistake(document, (*path, "upstream"), "points back to proxy.listen; give the address of the server")


def listen_message(text: str) -> str | None:
    """Return what is wrong with a listen address; None if it is valid."""
    try:
        address = parse_address(text)
    except ValueError as wrong:
        return str(wrong).removeprefix(f"listen address {text[:80]!r} ")
    return None if address.port else "has port 0; give the port that clients connect to"


def upstream_message(url: str) -> str | None:
    """Return what is wrong with an upstream address, without quoting it; None if it is valid."""
    wrong = url_message(url)
    if wrong is not None:
        return wrong.replace("basic_auth or bearer_token_file", "the clients' own requests")
    return "contains a '?'; remove it and everything after it" if "?" in url else None


def _is_itself(listen: str, upstream: str) -> bool:
    address, parts = parse_address(listen), urlsplit(upstream)
    port = same_page(upstream)[2]
    local = parts.hostname in ("localhost", "127.0.0.1", "::1") and address.host in (*_EVERYWHERE, "127.0.0.1", "::1")
    return port == address.port and (parts.hostname == address.host or local)


def _listening(document: Document) -> Iterator[tuple[KeyPath, Address]]:
    for path, proxy in _proxies(document):
        listen = proxy.get("listen")
        if isinstance(listen, str) and listen_message(listen) is None:
            yield (*path, "listen"), parse_address(listen)
