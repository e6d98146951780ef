"""The engines goodwatt can read, one YAML file each, and how a page becomes a reading."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from goodwatt.engines.profile import Profile

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # written in C where the package has it: ten times as fast


def known_engines() -> tuple[str, ...]:
    """Names of the profiles shipped, sorted. Cheap: no file is opened."""
    return tuple(sorted(file.stem for file in _profile_files()))


def load_profiles() -> Mapping[str, Profile]:
    """The profiles shipped, by name, sorted. Opens every file: call once at start."""
    profiles = [load_profile(file.read_text(encoding="utf-8")) for file in _profile_files()]
    return {profile.name: profile for profile in sorted(profiles, key=lambda profile: profile.name)}


def load_profile(text: str) -> Profile:
    """One profile from YAML. Raises pydantic.ValidationError or yaml.YAMLError."""
    return Profile.model_validate(yaml.load(text, _LOADER))  # noqa: S506 - both are safe loaders


def _profile_files() -> list[Path]:
    return list(Path(__file__).parent.glob("*.yaml"))
