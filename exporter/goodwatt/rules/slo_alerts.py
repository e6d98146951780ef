"""Alerts on error budgets: certain burns by the upper bound of good requests, possible burns by the lower one.

Histograms and request records are combined: a request is certainly bad if either proves it, and possibly bad unless
one of them proves it good. A request without a record is unknown to the records, so they never hide a failure that only
the page counts. An objective applies to each model over all its servers: one bad replica of ten costs a tenth.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from goodwatt.model.alerting import Alerting
from goodwatt.model.slo import Slo
from goodwatt.rules.burn_rate import (
    BURN_WINDOWS,
    MAX_BAD_RATIO,
    MINUTE,
    BurnWindows,
    bad_ratio_limit,
    effective_factor,
)
from goodwatt.rules.promql import duration, good_requests, scaled_duration, scaled_seconds, sum_rate
from goodwatt.rules.rule import PAGE, TICKET, AlertRule, RecordingRule, RuleGroup

SERVER_SLO = "job, server, model, slo"
MODEL_SLO = "job, model, slo"
PRESENT_SECONDS = 5 * MINUTE  # a model whose series are gone for this long no longer alerts
TICKET_EVALUATION_SECONDS = 2 * MINUTE

CONFIGURED_OBJECTIVE = 'goodwatt_slo_objective_ratio{origin!="default"}'  # not the one in force without any

ELIGIBLE_RECORD = "server_model:goodwatt_slo_requests:rate"
GOOD_RECORD = "server_model:goodwatt_slo_good_requests:rate"
JUDGED_RECORD = "server_model:goodwatt_slo_judged_requests:rate"
CERTAIN_RECORD = "model:goodwatt_slo_surely_bad:ratio_rate"
POSSIBLE_RECORD = "model:goodwatt_slo_possibly_bad:ratio_rate"


@dataclass(frozen=True, slots=True)
class BudgetAlert:
    """An alert on the share of bad requests recorded as `series`. %s in the description is the long window."""

    name: str
    series: str
    summary: str
    description: str


CERTAIN = BudgetAlert(
    "GoodwattSloBudgetBurn",
    CERTAIN_RECORD,
    "the error budget of SLO {{ $labels.slo }} is burning too fast",
    "At least {{ $value | humanizePercentage }} of the requests of the last %s were bad.",
)
POSSIBLE = BudgetAlert(
    "GoodwattSloBudgetMayBurn",
    POSSIBLE_RECORD,
    "the error budget of SLO {{ $labels.slo }} may be burning too fast",
    "Up to {{ $value | humanizePercentage }} of the requests of the last %s may have been bad; the histograms cannot "
    "decide.",
)


def slo_alert_groups(alerting: Alerting) -> tuple[RuleGroup, ...]:
    """Return a group for pages and one for tickets; none without objectives."""
    if alerting.objectives == ():
        return ()
    quick = _windows(PAGE, alerting)
    slow = {window: seconds for window, seconds in _windows(TICKET, alerting).items() if window not in quick}
    return (
        RuleGroup("goodwatt-slo-page", (*_records(quick), *_alerts(alerting, PAGE))),
        RuleGroup(
            "goodwatt-slo-ticket",
            (*_records(slow), *_alerts(alerting, TICKET)),
            scaled_duration(TICKET_EVALUATION_SECONDS, alerting),
        ),
    )


def _windows(severity: str, alerting: Alerting) -> dict[str, int]:
    """Return every window of a severity with its length in seconds."""
    windows = (each for each in BURN_WINDOWS if each.severity == severity)
    lengths = (scaled_seconds(s, alerting) for each in windows for s in (each.short_seconds, each.long_seconds))
    return {duration(seconds): seconds for seconds in lengths}


def _records(windows: Mapping[str, int]) -> Iterator[RecordingRule]:
    for window, seconds in windows.items():
        yield RecordingRule(
            f"{ELIGIBLE_RECORD}{window}", sum_rate("slo_requests_total", window, by=f"{SERVER_SLO}, method")
        )
        good = f"sum by ({SERVER_SLO}, method, bound) (\n  {good_requests(seconds)}\n)"
        yield RecordingRule(f"{GOOD_RECORD}{window}", good)
        yield RecordingRule(f"{JUDGED_RECORD}{window}", _judged(window))
        yield RecordingRule(f"{CERTAIN_RECORD}{window}", _share(_certainly_bad(window), window))
        yield RecordingRule(f"{POSSIBLE_RECORD}{window}", _share(_possibly_bad(window), window))


def _judged(window: str) -> str:
    """Eligible requests per second of each server. Records may lag the page or be sampled; neither counts twice."""
    return f'max by ({SERVER_SLO}) ({ELIGIBLE_RECORD}{window}{{method=~"exact|histogram"}}) > 0'


def _certainly_bad(window: str) -> str:
    """Requests that histograms or records prove bad, each among those that it counted itself: one may lag the other."""
    eligible = f'{ELIGIBLE_RECORD}{window}{{method=~"exact|histogram"}}'
    most = f'{GOOD_RECORD}{window}{{method=~"exact|histogram", bound=~"exact|upper"}}'
    return f"max by ({SERVER_SLO}) (clamp_min({eligible} - on ({SERVER_SLO}, method) {most}, 0))"


def _possibly_bad(window: str) -> str:
    """Requests that neither histograms nor records prove good."""
    least = f'{GOOD_RECORD}{window}{{method=~"exact|histogram", bound=~"exact|lower"}}'
    return f"clamp_min({JUDGED_RECORD}{window} - on ({SERVER_SLO}) max by ({SERVER_SLO}) ({least}), 0)"


def _share(bad: str, window: str) -> str:
    judged = f"{JUDGED_RECORD}{window}"
    return (
        f"sum by ({MODEL_SLO}) (\n"
        f"    {bad}\n"
        f"      and on ({SERVER_SLO}) {judged}\n"
        f"  )\n"
        f"  / sum by ({MODEL_SLO}) ({judged})"
    )


def _alerts(alerting: Alerting, severity: str) -> Iterator[AlertRule]:
    kinds = (CERTAIN, POSSIBLE) if severity == TICKET else (CERTAIN,)
    for slo in (None,) if alerting.objectives is None else alerting.objectives:
        for kind in kinds:
            yield from (_alert(alerting, slo, windows, kind) for windows in _distinct_windows(alerting, severity))


def _distinct_windows(alerting: Alerting, severity: str) -> Iterable[BurnWindows]:
    """Return windows that differ after scaling. Of equal ones the lowest factor fires whenever another would."""
    chosen: dict[tuple[str, str], BurnWindows] = {}
    for windows in sorted(BURN_WINDOWS, key=lambda windows: -_factor(windows, alerting)):
        if windows.severity == severity:
            chosen[_long_and_short(windows, alerting)] = windows
    return chosen.values()


def _factor(windows: BurnWindows, alerting: Alerting) -> float:
    """Return the factor before it is fitted to an objective."""
    return windows.configured_factor(alerting.burn) or windows.factor


def _alert(alerting: Alerting, slo: Slo | None, windows: BurnWindows, kind: BudgetAlert) -> AlertRule:
    long, short = _long_and_short(windows, alerting)
    return AlertRule(
        kind.name,
        windows.severity,
        _expression(alerting, slo, windows, kind),
        f"{{{{ $labels.model }}}}: {kind.summary}",
        f"{kind.description % long} {_allowed(alerting, slo, windows)}",
        alerting.runbook_url,
        labels={"long_window": long, "short_window": short} | ({"slo": slo.name} if slo else {}),
    )


def _long_and_short(windows: BurnWindows, alerting: Alerting) -> tuple[str, str]:
    return scaled_duration(windows.long_seconds, alerting), scaled_duration(windows.short_seconds, alerting)


def _expression(alerting: Alerting, slo: Slo | None, windows: BurnWindows, kind: BudgetAlert) -> str:
    long, short = _long_and_short(windows, alerting)
    of = "" if slo is None else f'{{slo="{slo.name}"}}'
    limit = _limit(alerting, slo, windows)
    seconds = scaled_seconds(windows.long_seconds, alerting)
    requests = f"sum by ({MODEL_SLO}) ({JUDGED_RECORD}{long}{of}) * {seconds}"
    recent = f"present_over_time(goodwatt_slo_requests_total{of}[{scaled_duration(PRESENT_SECONDS, alerting)}])"
    expression = (
        f"{kind.series}{long}{of} > {limit}\n"
        f"  and {kind.series}{short}{of} > {limit}\n"
        f"  and {requests} >= {alerting.minimum_requests}\n"
        f"  and {kind.series}{long}{of} * on ({MODEL_SLO}) {requests} > {alerting.minimum_bad_requests - 0.5:g}\n"
        f"  and on ({MODEL_SLO}) {recent}"
    )
    return expression if kind is CERTAIN else f"{expression}\n{_decidable(long, of, limit)}"


def _decidable(long: str, of: str, limit: str) -> str:
    """Restrict possible burns to bounds closer than the limit, and to objectives without a certain burn.

    A service without a bad request then never alerts: its possible share is all uncertainty.
    """
    firing = f'ALERTS{{alertname="{CERTAIN.name}", alertstate="firing"}}'
    return (
        f"  and {POSSIBLE_RECORD}{long}{of} - {CERTAIN_RECORD}{long}{of} <= {limit}\n  unless on ({MODEL_SLO}) {firing}"
    )


def _limit(alerting: Alerting, slo: Slo | None, windows: BurnWindows) -> str:
    """Return the share of bad requests above which the budget burns too fast, as PromQL."""
    if slo is not None:
        return f"{bad_ratio_limit(windows, alerting.burn, slo.objective):.9g}"
    factor = _factor(windows, alerting)
    allowed = f"1 - max by (job, slo) ({CONFIGURED_OBJECTIVE})"
    return f"on (job, slo) group_left () clamp_max({factor:g} * ({allowed}), {MAX_BAD_RATIO})"


def _allowed(alerting: Alerting, slo: Slo | None, windows: BurnWindows) -> str:
    if slo is None:
        factor = _factor(windows, alerting)
        share = f"{100 * MAX_BAD_RATIO:g} %"
        return f"That is more than {factor:g} times what the objective allows, or more than {share} of all requests."
    factor = effective_factor(windows, alerting.burn, slo.objective)
    allowed = f"{100 * round(1 - slo.objective, 9):g} %"
    return f"The objective allows {allowed}; that is more than {factor:.3g} times as much."
