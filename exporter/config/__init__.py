"""The operator's YAML as strict, frozen sections; what is wrong with it is said all at once, by file and line."""

from exporter.config.errors import ConfigError
from exporter.config.parsing import load, parse
from exporter.config.sections import Config

__all__ = ["Config", "ConfigError", "load", "parse"]
