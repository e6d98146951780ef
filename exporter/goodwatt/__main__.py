"""`python -m goodwatt`, the same as the installed command `goodwatt`."""

from goodwatt.cli import entry

entry()
