"""Measures what goodwatt costs: `python -m tests.bench [name ...] [--quick]`."""
