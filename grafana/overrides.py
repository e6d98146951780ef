"""What differs for one series or column from the rest of its panel."""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def by_name(name: str, properties: Mapping[str, Any]) -> Json:
    """An override of the series or column of this name."""
    return _override("byName", name, properties)


def by_pattern(pattern: str, properties: Mapping[str, Any]) -> Json:
    """An override of the series whose names match a regular expression."""
    return _override("byRegexp", pattern, properties)


def coloured(color: str) -> Json:
    """The properties that give a series a colour of its own."""
    return {"color": {"mode": "fixed", "fixedColor": color}}


def _override(matcher: str, options: str, properties: Mapping[str, Any]) -> Json:
    listed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": options}, "properties": listed}
