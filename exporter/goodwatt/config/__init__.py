"""The operator's YAML as strict, frozen sections; what is wrong with it is said all at once, by file and line."""

from goodwatt.config.config import Config
from goodwatt.config.errors import ConfigError
from goodwatt.config.load import load, parse

__all__ = ["Config", "ConfigError", "load", "parse"]
