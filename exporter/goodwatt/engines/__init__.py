"""Engine profiles: one YAML file per inference engine, and the code that turns a metrics page into a reading."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from goodwatt.engines.profile import Profile

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times as fast, where PyYAML has it
_FOLDER = Path(__file__).parent


def known_engines() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted. Lists the folder and opens no file."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.yaml")))


def load_profiles() -> Mapping[str, Profile]:
    """All shipped profiles by name, sorted. Parses each file once per process."""
    return {name: shipped_profile(name) for name in known_engines()}


@cache
def shipped_profile(name: str) -> Profile:
    """One shipped profile; no other file is opened. Raises FileNotFoundError for a name not in known_engines()."""
    return load_profile((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def load_profile(text: str) -> Profile:
    """Parse one profile from YAML. Raises pydantic.ValidationError or yaml.YAMLError."""
    return Profile.model_validate(yaml.load(text, _LOADER))  # noqa: S506 - both are safe loaders
