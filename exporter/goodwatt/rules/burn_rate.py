"""How fast an error budget may be spent before somebody is told, and what can never happen.

burn = share of bad requests / (1 - objective). All requests bad is the most there is, so that no burn is above
1 / (1 - objective): at an objective of 90 % that is 10, and an alert at 14.4 would sleep for ever.
"""

from dataclasses import dataclass

from goodwatt.model.alerting import BurnFactors
from goodwatt.rules.rule import PAGE, TICKET

# Where a default factor asks for more bad requests than this share, this share is enough.
MOST_BAD_RATIO = 0.9

MINUTE, HOUR, DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Pair:
    """Both windows must burn: the long one says that it matters, the short one that it still goes on."""

    key: str  # of BurnFactors
    long_seconds: int
    short_seconds: int
    factor: float
    severity: str

    def explicit(self, factors: BurnFactors) -> float | None:
        """The operator's own factor; None where the default is to be fitted."""
        chosen: float | None = getattr(factors, self.key)
        return chosen


PAIRS = (
    Pair("over_1h", HOUR, 5 * MINUTE, 14.4, PAGE),
    Pair("over_6h", 6 * HOUR, 30 * MINUTE, 6.0, PAGE),
    Pair("over_1d", DAY, 2 * HOUR, 3.0, TICKET),
    Pair("over_3d", 3 * DAY, 6 * HOUR, 1.0, TICKET),
)


def largest_factor(objective: float) -> float:
    """What no burn can exceed."""
    return round(1 / (1 - objective), 9)


def can_fire(factor: float, objective: float) -> bool:
    """Whether a share of bad requests exists that burns faster than this."""
    return round(factor * (1 - objective), 9) < 1


def bad_ratio(pair: Pair, factors: BurnFactors, objective: float) -> float:
    """The share of bad requests above which the pair fires. An explicit factor is taken as it is."""
    explicit = pair.explicit(factors)
    if explicit is not None:
        return _tidy(explicit * (1 - objective))
    return _tidy(min(pair.factor * (1 - objective), max(MOST_BAD_RATIO, 1 - objective)))


def fitted_factor(pair: Pair, factors: BurnFactors, objective: float) -> float:
    """The burn at that share."""
    return _tidy(bad_ratio(pair, factors, objective) / (1 - objective))


def _tidy(number: float) -> float:
    """Nine digits: without what binary fractions add to decimal ones."""
    return float(f"{number:.9g}")
