"""The command: see `goodwatt --help`."""

from exporter.cli import entry

entry()
