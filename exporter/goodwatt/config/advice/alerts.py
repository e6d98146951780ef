"""Advice on what the alerts that `goodwatt rules` generates do differently from what one may expect."""

from collections.abc import Iterator

from goodwatt.config.config import Config
from goodwatt.config.plan import alerting
from goodwatt.model.alerting import Alerting
from goodwatt.model.slo import Slo
from goodwatt.rules.burn_rate import BURN_WINDOWS, effective_factor, max_burn_rate


def alert_advice(config: Config) -> Iterator[str]:
    """Return one line for each objective with lowered burn rate factors."""
    targets = alerting(config)
    for slo in targets.objectives or ():
        yield from _lowered(slo, targets)


def _lowered(slo: Slo, targets: Alerting) -> Iterator[str]:
    """Report the factors in use where the standard ones could never fire."""
    fitted = [(windows, effective_factor(windows, targets.burn, slo.objective)) for windows in BURN_WINDOWS]
    lowered = [
        (windows, factor)
        for windows, factor in fitted
        if windows.configured_factor(targets.burn) is None and factor < windows.factor
    ]
    if lowered:
        instead = ", ".join(f"{factor:.3g} instead of {windows.factor:g}" for windows, factor in lowered)
        yield (
            f"slo {slo.name}: at an objective of {slo.objective:g} a budget burns at most "
            f"{max_burn_rate(slo.objective):.3g} times as fast as allowed; its alerts use the factors {instead}"
        )
