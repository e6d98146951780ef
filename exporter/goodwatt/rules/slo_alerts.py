"""Alerts on error budgets: certain breaches by what was surely bad, possible ones by what may have been.

Of every server the records of requests are asked where they cover its requests, else the bounds of its histograms. An
objective is judged for each model over all its servers: one bad replica of ten costs a tenth.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from goodwatt.model.alerting import Alerting
from goodwatt.model.slo import Slo
from goodwatt.rules.burn_rate import MINUTE, MOST_BAD_RATIO, PAIRS, Pair, bad_ratio, fitted_factor
from goodwatt.rules.promql import duration, good_requests, rate, seconds_of, window_of
from goodwatt.rules.rule import PAGE, TICKET, Alert, Group, Record

SERVER = "job, server, model, slo"
MODEL = "job, model, slo"
COVERED_RATIO = 0.9  # records stand for a server's requests when they are at least this share of them
TICKET_INTERVAL = 2 * MINUTE

REQUESTS = "server_model:goodwatt_slo_requests:rate"
GOOD = "server_model:goodwatt_slo_good_requests:rate"
JUDGED = "server_model:goodwatt_slo_judged_requests:rate"
SURELY = "model:goodwatt_slo_surely_bad:ratio_rate"
POSSIBLY = "model:goodwatt_slo_possibly_bad:ratio_rate"


@dataclass(frozen=True, slots=True)
class Breach:
    """An alert on the bad requests that `series` tells of."""

    name: str
    series: str
    summary: str
    description: str


CERTAIN = Breach(
    "GoodwattSloBudgetBurn",
    SURELY,
    "the error budget of SLO {{ $labels.slo }} burns too fast",
    "At least {{ $value | humanizePercentage }} of the requests of the last %s were not good.",
)
POSSIBLE = Breach(
    "GoodwattSloBudgetMayBurn",
    POSSIBLY,
    "the error budget of SLO {{ $labels.slo }} may burn too fast",
    "Up to {{ $value | humanizePercentage }} of the requests of the last %s may not have been good; histograms cannot "
    "tell more.",
)


def objective_groups(alerting: Alerting) -> tuple[Group, ...]:
    """Nothing where there is no objective."""
    if alerting.objectives == ():
        return ()
    quick = _windows(PAGE, alerting)
    slow = {window: seconds for window, seconds in _windows(TICKET, alerting).items() if window not in quick}
    return (
        Group("goodwatt-slo-page", (*_records(quick), *_alerts(alerting, PAGE))),
        Group(
            "goodwatt-slo-ticket",
            (*_records(slow), *_alerts(alerting, TICKET)),
            duration(TICKET_INTERVAL * alerting.scale),
        ),
    )


def _windows(severity: str, alerting: Alerting) -> dict[str, int]:
    """Every window of the pairs, with its length in seconds."""
    pairs = (pair for pair in PAIRS if pair.severity == severity)
    lengths = (seconds_of(s, alerting) for pair in pairs for s in (pair.short_seconds, pair.long_seconds))
    return {duration(seconds): seconds for seconds in lengths}


def _records(windows: Mapping[str, int]) -> Iterator[Record]:
    for window, seconds in windows.items():
        yield Record(f"{REQUESTS}{window}", rate("slo_requests_total", window, by=f"{SERVER}, method"))
        yield Record(f"{GOOD}{window}", f"sum by ({SERVER}, method, bound) (\n  {good_requests(seconds)}\n)")
        yield Record(f"{JUDGED}{window}", _judged(window))
        yield Record(f"{SURELY}{window}", _bad("exact|upper", window))
        yield Record(f"{POSSIBLY}{window}", _bad("exact|lower", window))


def _judged(window: str) -> str:
    """Requests per second that are judged, by one method for each server and never by two."""
    exact, bounded = (f'{REQUESTS}{window}{{method="{method}"}}' for method in ("exact", "histogram"))
    return (
        f"({exact} > 0\n"
        f"    unless on ({SERVER}) {exact} < on ({SERVER}) {COVERED_RATIO} * {bounded})\n"
        f"  or on ({SERVER}) {bounded} > 0"
    )


def _bad(bounds: str, window: str) -> str:
    return (
        f"1 - sum by ({MODEL}) (\n"
        f'    {GOOD}{window}{{bound=~"{bounds}"}}\n'
        f"      and on ({SERVER}, method) {JUDGED}{window}\n"
        f"  )\n"
        f"  / sum by ({MODEL}) ({JUDGED}{window})"
    )


def _alerts(alerting: Alerting, severity: str) -> Iterator[Alert]:
    breaches = (CERTAIN, POSSIBLE) if severity == TICKET else (CERTAIN,)
    for slo in (None,) if alerting.objectives is None else alerting.objectives:
        for breach in breaches:
            yield from (_alert(alerting, slo, pair, breach) for pair in _pairs(alerting, severity))


def _pairs(alerting: Alerting, severity: str) -> Iterable[Pair]:
    """Of pairs whose windows grew to the same, that with the lowest factor fires whenever another one would."""
    chosen: dict[tuple[str, str], Pair] = {}
    for pair in sorted(PAIRS, key=lambda pair: -_factor(pair, alerting)):
        if pair.severity == severity:
            chosen[_pair_windows(pair, alerting)] = pair
    return chosen.values()


def _factor(pair: Pair, alerting: Alerting) -> float:
    """Before it is fitted to an objective."""
    return pair.explicit(alerting.burn) or pair.factor


def _alert(alerting: Alerting, slo: Slo | None, pair: Pair, breach: Breach) -> Alert:
    long, short = _pair_windows(pair, alerting)
    return Alert(
        breach.name,
        pair.severity,
        _expression(alerting, slo, pair, breach.series),
        f"{{{{ $labels.model }}}}: {breach.summary}",
        f"{breach.description % long} {_allowed(alerting, slo, pair)}",
        alerting.runbook_url,
        labels={"long_window": long, "short_window": short} | ({"slo": slo.name} if slo else {}),
    )


def _pair_windows(pair: Pair, alerting: Alerting) -> tuple[str, str]:
    return window_of(pair.long_seconds, alerting), window_of(pair.short_seconds, alerting)


def _expression(alerting: Alerting, slo: Slo | None, pair: Pair, series: str) -> str:
    long, short = _pair_windows(pair, alerting)
    of = "" if slo is None else f'{{slo="{slo.name}"}}'
    limit = _limit(alerting, slo, pair)
    seconds = seconds_of(pair.long_seconds, alerting)
    return (
        f"{series}{long}{of} > {limit}\n"
        f"  and {series}{short}{of} > {limit}\n"
        f"  and sum by ({MODEL}) ({JUDGED}{long}{of}) * {seconds} >= {alerting.minimum_requests}"
    )


def _limit(alerting: Alerting, slo: Slo | None, pair: Pair) -> str:
    """The share of bad requests above which it burns too fast."""
    if slo is not None:
        return f"{bad_ratio(pair, alerting.burn, slo.objective):.9g}"
    factor = _factor(pair, alerting)
    allowed = "1 - max by (job, slo) (goodwatt_slo_objective_ratio)"
    return f"on (job, slo) group_left () clamp_max({factor:g} * ({allowed}), {MOST_BAD_RATIO})"


def _allowed(alerting: Alerting, slo: Slo | None, pair: Pair) -> str:
    if slo is None:
        factor = _factor(pair, alerting)
        share = f"{100 * MOST_BAD_RATIO:g} %"
        return f"That is more than {factor:g} times what the objective allows, or more than {share} of all."
    factor = fitted_factor(pair, alerting.burn, slo.objective)
    allowed = f"{100 * round(1 - slo.objective, 9):g} %"
    return f"The objective allows {allowed}; that is more than {factor:.3g} times as much."
