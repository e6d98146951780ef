"""How laws are tried here: the same examples on every run, with no stopwatch beside them."""

from hypothesis import HealthCheck, settings


def law(examples: int) -> settings:
    """Settings for a property: `examples` of them, the same every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
