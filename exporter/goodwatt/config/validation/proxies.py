"""What must hold for the proxies in an operator's file. No address of a server is ever shown: it may hold a secret."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from goodwatt.config.validation.entries import list_entries, mistake, repeated
from goodwatt.config.validation.urls import same_page, url_message
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue
from goodwatt.web.address import Address, parse_address

_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


def proxy_rule(document: Document) -> Iterator[Mistake]:
    """Each server has a page or a proxy; proxies listen on addresses that differ, and none passes on to itself."""
    for path, server in list_entries(document, "servers"):
        if "url" not in server and "proxy" not in server:
            message = "the key 'url' is missing; add it, or a proxy where the server has no metrics page"
            yield mistake(document, path, message)
    for path, proxy in _proxies(document):
        yield from _faults(document, path, proxy)
    yield from repeated(document, _listening(document), "proxy.listen")


def _proxies(document: Document) -> Iterator[tuple[KeyPath, dict[str, YamlValue]]]:
    for path, server in list_entries(document, "servers"):
        if isinstance(server.get("proxy"), dict):
            yield (*path, "proxy"), server["proxy"]


def _faults(document: Document, path: KeyPath, proxy: dict[str, YamlValue]) -> Iterator[Mistake]:
    good: dict[str, str] = {}
    for key, message in (("listen", listen_message), ("upstream", upstream_message)):
        value = proxy.get(key)
        why = message(value) if isinstance(value, str) else None
        if why:
            yield mistake(document, (*path, key), why)
        elif isinstance(value, str):
            good[key] = value
    if len(good) > 1 and _is_itself(**good):
        yield mistake(document, (*path, "upstream"), "leads back to proxy.listen; give the server's own address")


def listen_message(text: str) -> str | None:
    """What is wrong with an address to listen on; None for a good one."""
    try:
        address = parse_address(text)
    except ValueError as wrong:
        return str(wrong).removeprefix(f"listen address {text[:80]!r} ")
    return None if address.port else "has port 0; give the port that clients connect to"


def upstream_message(url: str) -> str | None:
    """What is wrong with a server's address, without repeating any of it; None for a good one."""
    wrong = url_message(url)
    if wrong is not None:
        return wrong.replace("basic_auth or bearer_token_file", "the clients' own requests")
    return "holds a '?'; remove it and what follows" if "?" in url else None


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
