"""Interprets the labels of a target group: those of Prometheus and the goodwatt_* ones."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Literal, get_args
from urllib.parse import urlencode, urlsplit

from goodwatt.config.validation.entries import MAX_NAME, name_message
from goodwatt.config.validation.messages import did_you_mean
from goodwatt.config.validation.servers import gpus_message

NAME, ENGINE, GPUS, ROLE = "goodwatt_name", "goodwatt_engine", "goodwatt_gpus", "goodwatt_role"
SCHEME, METRICS_PATH, PARAM = "__scheme__", "__metrics_path__", "__param_"

RoleName = Literal["any", "prefill", "decode"]
Gpus = Literal["all"] | tuple[int, ...] | tuple[str, ...]

_OWN = (NAME, ENGINE, GPUS, ROLE)
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_PATH = re.compile(r"/[^?#\s]*")


def label_message(name: str, value: str) -> str | None:
    """Return what is wrong with a label, without its value; None if it is valid or ignored here."""
    if name in _RULES:
        return _RULES[name](value)
    if name.startswith("goodwatt_"):
        return "is not a goodwatt label" + (did_you_mean(name, _OWN) or f"; known: {', '.join(_OWN)}")
    return None


_RULES: Mapping[str, Callable[[str], str | None]] = {
    NAME: name_message,
    ENGINE: lambda value: None if value else "must not be empty",
    GPUS: lambda value: gpus_message(gpus if (gpus := gpus_of(value)) == "all" else list(gpus)),
    ROLE: lambda value: None if value in get_args(RoleName) else "must be any, prefill or decode",
    SCHEME: lambda value: None if value in ("http", "https") else "must be http or https",
    METRICS_PATH: lambda value: (
        None if _PATH.fullmatch(value) else "must start with '/' and contain no '?', '#' or space"
    ),
}


def url_of(target: str, labels: Mapping[str, str]) -> str:
    """Build the URL. Without a path label it has no path, so the engine's metrics path is used."""
    asked = sorted((name.removeprefix(PARAM), value) for name, value in labels.items() if name.startswith(PARAM))
    query = f"/?{urlencode(asked)}" if asked and METRICS_PATH not in labels else f"?{urlencode(asked)}" if asked else ""
    return f"{labels.get(SCHEME, 'http')}://{target}{labels.get(METRICS_PATH, '')}{query}"


def gpus_of(text: str) -> Gpus:
    """Parse `all`, `0,1` or `GPU-...,GPU-...`; anything else is taken as UUIDs."""
    if text == "all":
        return "all"
    items = [item.strip() for item in text.split(",")]
    return tuple(map(int, items)) if all(item.isdecimal() and item.isascii() for item in items) else tuple(items)


def default_name(target: str, url: str) -> str:
    """Derive a name like `10.0.0.1-8000`, with any path but /metrics and a digest of the query (may be secret)."""
    parts = urlsplit(url)
    path = "" if parts.path.rstrip("/") in ("", "/metrics") else parts.path
    query = f"-{digest(parts.query)}" if parts.query else ""
    return _NOT_IN_NAME.sub("-", target + path).strip("-")[: MAX_NAME - len(query)] + query


def digest(text: str) -> str:
    """Return six hex digits of a hash of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:6]
