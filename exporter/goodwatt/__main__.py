"""The command: see `goodwatt --help`."""

from goodwatt.cli import entry

entry()
