"""Checks the servers in the file. No message contains a URL or header value, which may be secret."""

import re
from collections.abc import Iterator
from itertools import chain

from goodwatt.config.errors import printable
from goodwatt.config.validation.entries import Check, list_entries, mistake, name_check, repeated, text_values
from goodwatt.config.validation.messages import did_you_mean, value_at
from goodwatt.config.validation.proxies import find_proxy_mistakes
from goodwatt.config.validation.urls import same_page, url_message
from goodwatt.config.yaml.document import Document, KeyPath, Mistake, YamlValue
from goodwatt.settings.sources import LONGEST_READ_SECONDS, MAX_SERVERS, SHORTEST_READ_SECONDS

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_LISTS = ("servers", "server_discovery")  # both configure connections to servers
_FILES = re.compile(r"[^*]*(\*[^/]*)?\.(json|yml|yaml)", re.IGNORECASE)
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _items(document: Document) -> Iterator[Mistake]:
    listed = document.value.get("servers")
    for at, item in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(item, str):
            yield mistake(document, ("servers", at), "must have a name and a url; write {name: ..., url: ...}")


def _count(document: Document) -> Iterator[Mistake]:
    listed = document.value.get("servers")
    if isinstance(listed, list) and len(listed) > MAX_SERVERS:
        message = f"lists {len(listed)} servers; one process reads at most {MAX_SERVERS}: run another for the rest"
        yield mistake(document, ("servers",), message)


def _files(document: Document) -> Iterator[Mistake]:
    for path, section in list_entries(document, "server_discovery"):
        listed = section.get("files")
        for at, pattern in enumerate(listed if isinstance(listed, list) else ()):
            message = files_message(pattern) if isinstance(pattern, str) else None
            if message:
                yield mistake(document, (*path, "files", at), message)


def files_message(pattern: str) -> str | None:
    """Return what is wrong with a path or pattern of target files; None if it is valid."""
    if not pattern.isprintable():
        return "contains a control character; remove it"
    folder, _, name = pattern.rpartition("/")
    if "*" in folder:
        return "may contain * only after its last '/'"
    if not _FILES.fullmatch(name):
        return "must end in .json, .yml or .yaml"
    return None


def _urls(document: Document) -> Iterator[Mistake]:
    known = tuple(text_values(document, "servers", "url"))
    for path, url in known:
        message = url_message(url)
        if message:
            yield mistake(document, path, message)
    good = ((path, same_page(url)) for path, url in known if url_message(url) is None)
    yield from repeated(document, good, "url")


def engine_check(engines: tuple[str, ...]) -> Check:
    """Make a check that every engine named has a profile."""
    known = ("auto", *engines)

    def check(document: Document) -> Iterator[Mistake]:
        for path, engine in text_values(document, "servers", "engine"):
            if engine not in known:
                message = (
                    f"unknown engine '{printable(engine, 40)}'; known: {', '.join(known)}{did_you_mean(engine, known)}"
                )
                yield mistake(document, path, message)

    return check


def gpus_message(value: YamlValue) -> str | None:
    """Return what is wrong with the value of `gpus`; None if it is valid."""
    if value == "all" and isinstance(value, str):
        return None
    if not isinstance(value, list):
        return "must be all, or a list: [0, 1] for indexes, [GPU-...] for UUIDs"
    if not value:
        return "is empty; list the GPUs that this server runs on, or write all"
    kinds = {type(item) for item in value}
    if not kinds <= {int, str}:
        return "may list only indexes such as 0 or UUIDs such as GPU-..."
    if len(kinds) > 1:
        return "mixes indexes and UUIDs; use one of them"
    return _gpu_items_message(value)


def _gpu_items_message(items: list[int] | list[str]) -> str | None:
    if any(isinstance(item, int) and item < 0 for item in items):
        return "contains a negative index; the first GPU is 0"
    if any(isinstance(item, str) and item.isdecimal() for item in items):
        return "contains an index in quotes; write [0, 1] without quotes"
    if any(isinstance(item, str) and item.startswith("MIG-") for item in items):
        return "contains a MIG UUID; energy is known only for whole GPUs, so give the GPU-... UUID"
    if any(isinstance(item, str) and not item.startswith("GPU-") for item in items):
        return "contains text that is not a GPU UUID; a UUID starts with GPU-"
    return "lists a GPU twice; remove one" if len(set(items)) < len(items) else None


def _gpus(document: Document) -> Iterator[Mistake]:
    for path, server in list_entries(document, "servers"):
        value = server.get("gpus")
        message = None if value is None else gpus_message(value)
        if message:
            yield mistake(document, (*path, "gpus"), message)


def _reached(document: Document) -> Iterator[tuple[KeyPath, dict[str, YamlValue]]]:
    return chain.from_iterable(list_entries(document, name) for name in _LISTS)


def _credentials(document: Document) -> Iterator[Mistake]:
    for path, server in _reached(document):
        headers = server.get("headers")
        names = headers if isinstance(headers, dict) else {}
        given = [key for key in ("bearer_token_file", "basic_auth") if server.get(key) is not None]
        given += ["an Authorization header"] if any(name.lower() == "authorization" for name in names) else []
        if len(given) > 1:
            yield mistake(document, path, f"has both {' and '.join(given)}; keep one")


def _headers(document: Document) -> Iterator[Mistake]:
    for path, server in _reached(document):
        headers = server.get("headers")
        for name, value in headers.items() if isinstance(headers, dict) else ():
            message = _header_message(name, value)
            if message:
                yield mistake(document, (*path, "headers", name), message)


def _header_message(name: str, value: YamlValue) -> str | None:
    if not _TOKEN.fullmatch(name):
        return "a header name contains a character that HTTP does not allow"
    if isinstance(value, bool | int | float | list | dict):
        return "a header value must be text; put it in quotes"
    if value is not None and not _HEADER_VALUE.fullmatch(value):
        return "a header value contains a line break or a character that HTTP does not allow"
    return None


def _plain_texts(document: Document) -> Iterator[Mistake]:
    for path, server in _reached(document):
        tls, login = (server.get(key) for key in ("tls", "basic_auth"))
        named = [(*path, key) for key in server if key.endswith("_file")]
        named += [
            (*path, "tls", key) for key in (tls if isinstance(tls, dict) else ()) if key.endswith(("_file", "_name"))
        ]
        named += [(*path, "basic_auth", key) for key in (login if isinstance(login, dict) else ())]
        for place in named:
            message = _text_message(value_at(document.value, place), place[-1] == "username")
            if message:
                yield mistake(document, place, message)


def _text_message(text: YamlValue, is_username: bool) -> str | None:
    if not isinstance(text, str):
        return None
    if not text:
        return "must not be empty"
    if not text.isprintable():
        return "contains a control character; remove it"
    return "must not contain ':', which separates user name and password" if is_username and ":" in text else None


def _tls(document: Document) -> Iterator[Mistake]:
    for path, server in _reached(document):
        tls = server.get("tls")
        files = tls if isinstance(tls, dict) else {}
        for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
            if files.get(one) is not None and other not in files:
                yield mistake(document, (*path, "tls", one), f"needs {other} as well; add it")


def _read_intervals(document: Document) -> Iterator[Mistake]:
    for path, server in _reached(document):
        interval = server.get("read_interval_seconds")
        is_number = isinstance(interval, int | float) and not isinstance(interval, bool)
        if is_number and not SHORTEST_READ_SECONDS <= float(str(interval)) <= LONGEST_READ_SECONDS:
            limits = f"{SHORTEST_READ_SECONDS:g} to {LONGEST_READ_SECONDS:g}"
            yield mistake(document, (*path, "read_interval_seconds"), f"must be auto, tick, or {limits} seconds")


def server_checks(engines: tuple[str, ...]) -> tuple[Check, ...]:
    """Return every check on servers; `engines` are the names of the known profiles."""
    return (
        _items,
        _count,
        _files,
        name_check("servers"),
        _urls,
        find_proxy_mistakes,
        engine_check(engines),
        _gpus,
        _credentials,
        _headers,
        _plain_texts,
        _tls,
        _read_intervals,
    )
