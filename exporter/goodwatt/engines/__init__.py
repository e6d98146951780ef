"""Engine profiles: one YAML file per inference engine, and the code that turns a metrics page into a reading."""

from collections.abc import Mapping
from functools import cache

from goodwatt.engines.profile import Profile
from goodwatt.engines.shipped import known_engines as known_engines
from goodwatt.engines.shipped import parse_yaml, shipped_keys


def load_profiles() -> Mapping[str, Profile]:
    """All shipped profiles by name, sorted. Parses each file once per process."""
    return {name: shipped_profile(name) for name in known_engines()}


@cache
def shipped_profile(name: str) -> Profile:
    """One shipped profile; besides the one it is like, no other file is opened.

    Raises FileNotFoundError for a name not in known_engines().
    """
    return Profile.model_validate(shipped_keys(name))


def load_profile(text: str) -> Profile:
    """Parse one profile from YAML. Raises pydantic.ValidationError or yaml.YAMLError."""
    return Profile.model_validate(parse_yaml(text))
