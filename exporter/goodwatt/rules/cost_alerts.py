"""Alerts on energy and cost: lower efficiency at the same load, energy spent idle, cost above the target."""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.burn_rate import DAY, HOUR, MINUTE
from goodwatt.rules.promql import (
    SCRAPED_ACCOUNT,
    gap_free_watts,
    present_half_a_window_ago,
    scaled_duration,
    scaled_seconds,
    sum_rate,
)
from goodwatt.rules.rule import TICKET, AlertRule, RecordingRule, RuleGroup, group_of

SERVER_MODEL = "job, server, model"
MODEL_ON_SERVER = "{{ $labels.model }} on {{ $labels.server }}"
SIMILAR_LOAD_RATIO = 0.2  # two loads are similar if they differ by less than this share
MIN_BASELINE_STEPS = 6  # steps at similar load that make a baseline
BASELINE_SECONDS, BASELINE_STEP_SECONDS = 7 * DAY, 30 * MINUTE
EVALUATION_SECONDS = 2 * MINUTE
COST_QUERY = (
    '{{ range printf "3600 * sum by (currency) (rate(goodwatt_cost_total'
    '{job=%%q,server=%%q,model=%%q}[%s]))" $labels.job $labels.server $labels.model | query }}'
    ' It costs {{ .Value | printf "%%.2f" }} {{ .Labels.currency }} per hour.{{ end }}'
)


def efficiency_regression(alerting: Alerting) -> Iterator[RecordingRule | AlertRule]:
    """Fires when a model yields fewer tokens per joule than it did last week at similar load."""
    window = scaled_duration(HOUR, alerting)
    tokens, joules = (f"server_model:goodwatt_compared_{name}:rate{window}" for name in ("tokens", "joules"))
    watts = gap_free_watts(window)
    generated = sum_rate("generated_tokens_total", window, by=SCRAPED_ACCOUNT)
    yield RecordingRule(joules, f"sum by ({SERVER_MODEL}) (\n{watts}\n)")
    yield RecordingRule(tokens, f"sum by ({SERVER_MODEL}) (\n{generated}\n  and on ({SCRAPED_ACCOUNT}) (\n{watts}\n))")
    yield AlertRule(
        "GoodwattEfficiencyRegression",
        TICKET,
        _drop_at_similar_load(tokens, joules, window, alerting),
        f"{MODEL_ON_SERVER} yields fewer tokens per joule than before at similar load",
        f"Over the last {window} it yielded {{{{ $value | humanizePercentage }}}} of the tokens per joule of the "
        f"{scaled_duration(BASELINE_SECONDS, alerting)} before, at similar load "
        f"(tokens per second within {100 * SIMILAR_LOAD_RATIO:g} %).",
        alerting.runbook_url,
        scaled_duration(15 * MINUTE, alerting),
    )


def _drop_at_similar_load(tokens: str, joules: str, window: str, alerting: Alerting) -> str:
    """Compare tokens per joule with past steps at similar load, as load alone changes it several times over.

    Tokens and joules are each summed before dividing, so the baseline is not an average of ratios.
    """
    similar = f"abs({tokens} / on ({SERVER_MODEL}) ({tokens} @ end()) - 1) < {SIMILAR_LOAD_RATIO:g}"
    step = scaled_duration(BASELINE_STEP_SECONDS, alerting)
    past = f"[{scaled_duration(BASELINE_SECONDS, alerting)}:{step}] offset {window}"
    return (
        f"({tokens} / ({joules} > 0))\n"
        f"  / (\n"
        f"    sum_over_time((\n      {tokens}\n      and on ({SERVER_MODEL})\n      {similar}\n    ){past})\n"
        f"    / sum_over_time((\n      {joules}\n      and on ({SERVER_MODEL})\n      {similar}\n    ){past})\n"
        f"  ) < {1 - alerting.efficiency_drop_ratio:g}\n"
        f"  and on ({SERVER_MODEL}) count_over_time(({similar}){past}) >= {MIN_BASELINE_STEPS}"
    )


def idle_burns_money(alerting: Alerting) -> Iterator[RecordingRule | AlertRule]:
    """Fires when a model spends most of its energy without a request."""
    window = scaled_duration(6 * HOUR, alerting)
    record = f"server_model:goodwatt_idle_energy:ratio_rate{window}"
    old_enough = present_half_a_window_ago("energy_joules_total", scaled_seconds(6 * HOUR, alerting))
    idle = sum_rate("energy_joules_total", window, by=SERVER_MODEL, selector='state="idle"')
    total = sum_rate("energy_joules_total", window, by=SERVER_MODEL)
    yield RecordingRule(record, f"{idle}\n  / ({total} > 0)")
    yield AlertRule(
        "GoodwattIdleBurnsMoney",
        TICKET,
        f"{record} > {alerting.idle_ratio:g}\n  and on ({SERVER_MODEL}) {old_enough}",
        f"{MODEL_ON_SERVER} spends most of its energy idle",
        f"{{{{ $value | humanizePercentage }}}} of its GPU energy over the last {window} was spent while it served no "
        f"request.{COST_QUERY % window}",
        alerting.runbook_url,
        scaled_duration(15 * MINUTE, alerting),
    )


def cost_above_target(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when a model's generated tokens cost more than the configured target. No alert without a target."""
    target, currency, window = alerting.cost_per_million_tokens, alerting.currency, scaled_duration(HOUR, alerting)
    if target is None or currency is None:
        return
    cost = f'rate(goodwatt_cost_total{{currency="{currency}"}}[{window}])'
    tokens = f"rate(goodwatt_generated_tokens_total[{window}])"
    spent = f"sum by (job, model, currency) ({cost} and on ({SCRAPED_ACCOUNT}) {tokens})"
    paid = f"sum by (job, model) ({tokens} and on ({SCRAPED_ACCOUNT}) {cost})"
    yield AlertRule(
        "GoodwattCostPerTokenAboveTarget",
        TICKET,
        f"1e6 * {spent}\n  / on (job, model) group_left () ({paid} > 0)\n  > {target:g}",
        "{{ $labels.model }} costs more per token than the target",
        f"Over the last {window} a million generated tokens cost "
        f'{{{{ $value | printf "%.2f" }}}} {{{{ $labels.currency }}}}, idle time included; the target is {target:g}.',
        alerting.runbook_url,
        scaled_duration(30 * MINUTE, alerting),
    )


COST_ALERTS = (efficiency_regression, idle_burns_money, cost_above_target)


def cost_alert_group(alerting: Alerting) -> RuleGroup:
    """Return the group `goodwatt-economy`. It is evaluated less often, as its windows are hours long."""
    return group_of("goodwatt-economy", COST_ALERTS, alerting, scaled_duration(EVALUATION_SECONDS, alerting))
