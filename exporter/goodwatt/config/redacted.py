"""The configuration as /config may show it: without header values and URL queries, which may be secret."""

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yaml
from yaml.nodes import Node, ScalarNode

from goodwatt.config.config import Config
from goodwatt.config.yaml.document import plain_tag

HIDDEN = "<hidden>"


def redacted(config: Config) -> str:
    """Return YAML that parses again, with defaults written out; every header value and URL query is `<hidden>`."""
    return yaml.dump(_public(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def config_hash(config: Config) -> str:
    """Return 12 hex digits that change with the settings, not with layout, comments, header values or URL queries."""
    canonical = json.dumps(_public(config), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def public_url(url: str) -> str:
    """Replace the query of `url`, if it has one, with `<hidden>`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=HIDDEN if parts.query else ""))


def _public(config: Config) -> dict[str, Any]:
    shown = config.model_dump(mode="json", exclude_none=True)
    for server in shown.get("servers", ()):
        if "url" in server:
            server["url"] = public_url(server["url"])
    for reached in (*shown.get("servers", ()), *shown["server_discovery"]):
        reached["headers"] = dict.fromkeys(reached["headers"], HIDDEN)
    return shown


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as another type."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return plain_tag(value) if kind is ScalarNode and implicit[0] and tag.endswith(":str") else tag

    def ignore_aliases(self, _data: Any) -> bool:
        return True
