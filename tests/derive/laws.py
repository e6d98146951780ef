"""Settings for property tests: the same examples on every run, and no deadline."""

from hypothesis import HealthCheck, settings


def law(examples: int) -> settings:
    """Return settings with this many examples, derandomized."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
