"""Advice on what the alerts that `goodwatt rules` generates do differently from what one may expect."""

from collections.abc import Iterator

from goodwatt.config.config import Config
from goodwatt.config.plan import alerting
from goodwatt.model.alerting import Alerting
from goodwatt.model.slo import Slo
from goodwatt.rules.burn_rate import PAIRS, fitted_factor, largest_factor
from goodwatt.rules.promql import LONG_WINDOWS, duration, window_of


def alert_advice(config: Config) -> Iterator[str]:
    """Return one line for each objective with lowered burn rate factors, and one if windows are widened."""
    targets = alerting(config)
    for slo in targets.objectives or ():
        yield from _lowered(slo, targets)
    if targets.objectives != () and "window_seconds" in config.model_fields_set:
        yield from _widened(targets)


def _lowered(slo: Slo, targets: Alerting) -> Iterator[str]:
    """Report the factors in use where the standard ones could never fire."""
    fitted = [(pair, fitted_factor(pair, targets.burn, slo.objective)) for pair in PAIRS]
    lowered = [
        (pair, factor) for pair, factor in fitted if pair.explicit(targets.burn) is None and factor < pair.factor
    ]
    if lowered:
        instead = ", ".join(f"{factor:.3g} instead of {pair.factor:g}" for pair, factor in lowered)
        yield (
            f"slo {slo.name}: at an objective of {slo.objective:g} a budget burns at most "
            f"{largest_factor(slo.objective):.3g} times as fast as allowed; its alerts use the factors {instead}"
        )


def _widened(targets: Alerting) -> Iterator[str]:
    changed = []
    for pair in PAIRS:
        asked = duration(pair.long_seconds), duration(pair.short_seconds)
        used = window_of(pair.long_seconds, targets, LONG_WINDOWS), window_of(pair.short_seconds, targets)
        if asked != used:
            changed.append(f"{asked[0]} and {asked[1]} become {used[0]} and {used[1]}")
    if changed:
        yield (
            f"window_seconds: objectives are counted once in {targets.window_seconds:g} s, so their alerts look back "
            f"longer: {'; '.join(changed)}"
        )
