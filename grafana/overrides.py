"""Field overrides for single series or columns of a panel."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def by_name(name: str, properties: Mapping[str, Any]) -> Json:
    """Return an override for the series or column with this name."""
    return _override("byName", name, properties)


def by_pattern(pattern: str, properties: Mapping[str, Any]) -> Json:
    """Return an override for series with names that match a regular expression."""
    return _override("byRegexp", pattern, properties)


def coloured(color: str) -> Json:
    """Return the properties that give a series a fixed colour."""
    return {"color": {"mode": "fixed", "fixedColor": color}}


def _override(matcher: str, options: str, properties: Mapping[str, Any]) -> Json:
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": listed}
