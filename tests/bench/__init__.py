"""What goodwatt costs, as figures: `python -m tests.bench [name ...] [--quick]`."""
