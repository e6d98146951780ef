"""Alerts on joules and money: less for the same load than before, more than the target, nothing at all for it."""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.burn_rate import DAY, HOUR, MINUTE
from goodwatt.rules.promql import ACCOUNT, duration, energy_of_known, old_enough, rate, seconds_of, wait_of, window_of
from goodwatt.rules.rule import TICKET, Alert, Group, Record

SERVER = "job, server, model"
PLACE = "{{ $labels.model }} on {{ $labels.server }}"
LIKE_RATIO = 0.2  # loads that differ by less are alike
LEAST_LIKE = 6  # moments of like load that make a baseline
BASELINE, BASELINE_STEP = 7 * DAY, 30 * MINUTE
INTERVAL = 2 * MINUTE
COST_QUERY = (
    '{{ range printf "3600 * sum by (currency) (rate(goodwatt_cost_total'
    '{job=%%q,server=%%q,model=%%q}[%s]))" $labels.job $labels.server $labels.model | query }}'
    ' It costs {{ .Value | printf "%%.2f" }} {{ .Labels.currency }} an hour.{{ end }}'
)


def economy_groups(alerting: Alerting) -> tuple[Group, ...]:
    """One group."""
    rules = (*_efficiency(alerting), *_idle(alerting), *_cost(alerting))
    return (Group("goodwatt-economy", rules, duration(INTERVAL * alerting.scale)),)


def _efficiency(alerting: Alerting) -> Iterator[Record | Alert]:
    window = window_of(HOUR, alerting)
    tokens, joules = (f"server_model:goodwatt_compared_{name}:rate{window}" for name in ("tokens", "joules"))
    known = energy_of_known(window)
    generated = rate("generated_tokens_total", window, by=ACCOUNT)
    yield Record(joules, f"sum by ({SERVER}) (\n{known}\n)")
    yield Record(tokens, f"sum by ({SERVER}) (\n{generated}\n  and on ({ACCOUNT}) (\n{known}\n))")
    yield Alert(
        "GoodwattEfficiencyRegression",
        TICKET,
        _compared(tokens, joules, window, alerting),
        f"{PLACE} gives fewer tokens per joule than before at the same load",
        f"Over the last {window} it generated {{{{ $value | humanizePercentage }}}} of the tokens per joule that it "
        f"gave in the {duration(BASELINE * alerting.scale)} before, at moments of like load "
        f"(tokens per second within {100 * LIKE_RATIO:g} %).",
        alerting.runbook_url,
        wait_of(15 * MINUTE, alerting),
    )


def _compared(tokens: str, joules: str, window: str, alerting: Alerting) -> str:
    """Tokens per joule over those of like moments, summed before they are divided. Load alone moves it manyfold."""
    like = f"abs({tokens} / on ({SERVER}) ({tokens} @ end()) - 1) < {LIKE_RATIO:g}"
    step = duration(BASELINE_STEP * alerting.scale)
    past = f"[{duration(BASELINE * alerting.scale)}:{step}] offset {window}"
    return (
        f"({tokens} / ({joules} > 0))\n"
        f"  / (\n"
        f"    sum_over_time((\n      {tokens}\n      and on ({SERVER})\n      {like}\n    ){past})\n"
        f"    / sum_over_time((\n      {joules}\n      and on ({SERVER})\n      {like}\n    ){past})\n"
        f"  ) < {1 - alerting.efficiency_drop_ratio:g}\n"
        f"  and on ({SERVER}) count_over_time(({like}){past}) >= {LEAST_LIKE}"
    )


def _idle(alerting: Alerting) -> Iterator[Record | Alert]:
    window = window_of(6 * HOUR, alerting)
    record = f"server_model:goodwatt_idle_energy:ratio_rate{window}"
    old = old_enough("energy_joules_total", seconds_of(6 * HOUR, alerting))
    idle = rate("energy_joules_total", window, by=SERVER, selector='state="idle"')
    yield Record(record, f"{idle}\n  / ({rate('energy_joules_total', window, by=SERVER)} > 0)")
    yield Alert(
        "GoodwattIdleBurnsMoney",
        TICKET,
        f"{record} > {alerting.idle_ratio:g}\n  and on ({SERVER}) {old}",
        f"{PLACE} spends most of its energy on waiting",
        f"Of its GPU energy of the last {window}, {{{{ $value | humanizePercentage }}}} was spent while no request was "
        f"served.{COST_QUERY % window}",
        alerting.runbook_url,
        wait_of(15 * MINUTE, alerting),
    )


def _cost(alerting: Alerting) -> Iterator[Alert]:
    target, currency, window = alerting.cost_per_million_tokens, alerting.currency, window_of(HOUR, alerting)
    if target is None or currency is None:
        return
    cost = f'rate(goodwatt_cost_total{{currency="{currency}"}}[{window}])'
    tokens = f"rate(goodwatt_generated_tokens_total[{window}])"
    spent = f"sum by (job, model, currency) ({cost} and on ({ACCOUNT}) {tokens})"
    paid = f"sum by (job, model) ({tokens} and on ({ACCOUNT}) {cost})"
    yield Alert(
        "GoodwattCostPerTokenAboveTarget",
        TICKET,
        f"1e6 * {spent}\n  / on (job, model) group_left () ({paid} > 0)\n  > {target:g}",
        "{{ $labels.model }} costs more per token than the target",
        f"A million generated tokens of the last {window} cost "
        f'{{{{ $value | printf "%.2f" }}}} {{{{ $labels.currency }}}}, idle time included; the target is {target:g}.',
        alerting.runbook_url,
        wait_of(30 * MINUTE, alerting),
    )
