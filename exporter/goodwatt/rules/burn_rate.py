"""Burn rates: how fast an error budget may be spent before an alert fires.

burn rate = share of bad requests / (1 - objective). It is highest when every request is bad: 1 / (1 - objective). At an
objective of 90 % that is 10, so an alert at 14.4 could never fire.
"""

from dataclasses import dataclass

from goodwatt.model.alerting import BurnFactors
from goodwatt.rules.rule import PAGE, TICKET

# Caps the share of bad requests that a default factor requires, so that every alert can fire.
MAX_BAD_RATIO = 0.9

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class BurnWindows:
    """A long and a short window that must both burn: the budget loss is significant, and it is still happening."""

    key: str  # field of BurnFactors
    long_seconds: int
    short_seconds: int
    factor: float
    severity: str

    def configured_factor(self, factors: BurnFactors) -> float | None:
        """Return the operator's factor; None means a default that fits the objective."""
        chosen: float | None = getattr(factors, self.key)
        return chosen


BURN_WINDOWS = (
    BurnWindows("over_1h", HOUR, 5 * MINUTE, 14.4, PAGE),
    BurnWindows("over_6h", 6 * HOUR, 30 * MINUTE, 6.0, PAGE),
    BurnWindows("over_1d", DAY, 2 * HOUR, 3.0, TICKET),
    BurnWindows("over_3d", 3 * DAY, 6 * HOUR, 1.0, TICKET),
)


def max_burn_rate(objective: float) -> float:
    """Return the burn rate when every request is bad."""
    return round(1 / (1 - objective), 9)


def can_fire(factor: float, objective: float) -> bool:
    """Whether any share of bad requests burns the budget faster than `factor`."""
    return round(factor * (1 - objective), 9) < 1


def bad_ratio_limit(windows: BurnWindows, factors: BurnFactors, objective: float) -> float:
    """Return the share of bad requests above which the windows burn. A configured factor is used unchanged."""
    configured = windows.configured_factor(factors)
    if configured is not None:
        return _without_noise(configured * (1 - objective))
    return _without_noise(min(windows.factor * (1 - objective), max(MAX_BAD_RATIO, 1 - objective)))


def effective_factor(windows: BurnWindows, factors: BurnFactors, objective: float) -> float:
    """Return the burn rate at `bad_ratio_limit`."""
    return _without_noise(bad_ratio_limit(windows, factors, objective) / (1 - objective))


def _without_noise(number: float) -> float:
    """Round to nine significant digits, which removes binary rounding errors from the rule text."""
    return float(f"{number:.9g}")
