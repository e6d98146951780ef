"""The operator's YAML as strict, frozen sections; what is wrong with it is said all at once, by file and line."""

from goodwatt.config.errors import ConfigError
from goodwatt.config.parsing import load, parse
from goodwatt.config.sections import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
