"""The YAML files of the shipped profiles."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times as fast, where PyYAML has it
_FOLDER = Path(__file__).parent


def known_engines() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted. Lists the folder and opens no file."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


@cache
def shipped_keys(name: str) -> Mapping[str, Any]:
    """The keys of one shipped profile as written. Raises FileNotFoundError for a name not in known_engines()."""
    if name not in known_engines():
        raise FileNotFoundError(name)
    keys: Mapping[str, Any] = parse_yaml((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return keys


def parse_yaml(text: str) -> Any:
    """Parse YAML without building anything but plain values. Raises yaml.YAMLError."""
    return yaml.load(text, _LOADER)  # noqa: S506 - both are safe loaders
