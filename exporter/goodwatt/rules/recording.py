"""Recording rules: the headline figures at three levels, as sums of counters over sums of counters.

Every level keeps `job`, so several jobs in one Prometheus stay apart. An unknown figure has no sample, and a ratio with
nothing to divide by is absent, never 0, NaN or infinite.
"""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.promql import (
    SCRAPED_ACCOUNT,
    gap_free,
    gap_free_watts,
    good_requests,
    scaled_duration,
    scaled_seconds,
    sum_rate,
)
from goodwatt.rules.rule import RecordingRule, RuleGroup

LEVELS = {"server_model": "job, server, model", "model": "job, model", "fleet": "job"}
BASE_SECONDS = 300
GENERATED_KIND = {"kind": "generated"}  # per-token ratios always name the kind of token


def recording_groups(alerting: Alerting) -> tuple[RuleGroup, ...]:
    """Return one group, so its rules are evaluated in order and at the same timestamp."""
    window = scaled_duration(BASE_SECONDS, alerting)
    levels = (rule for level, by in LEVELS.items() for rule in _level(level, by, window))
    return (RuleGroup("goodwatt-figures", (*_parts(window), _good(alerting, window), *levels, *_gpus(window))),)


def _part(metric: str, window: str) -> str:
    return f"instance_server_model:goodwatt_{metric}:rate{window}"


def _parts(window: str) -> Iterator[RecordingRule]:
    """Record the terms of the ratios: accounts with both tokens and joules, or tokens and cost, without gaps.

    Cost is known even without energy. `paid_tokens` carries the currency in which the tokens were paid.
    """
    energy, tokens = _part("energy_joules", window), _part("generated_tokens", window)
    generated = sum_rate("generated_tokens_total", window, by=SCRAPED_ACCOUNT)
    yield RecordingRule(energy, gap_free_watts(window))
    yield RecordingRule(tokens, f"{generated}\n  and on ({SCRAPED_ACCOUNT}) {energy}")
    cost, paid = _part("cost", window), _part("paid_tokens", window)
    yield RecordingRule(cost, gap_free(sum_rate("cost_total", window, by=f"{SCRAPED_ACCOUNT}, currency"), window))
    yield RecordingRule(paid, f"0 * {cost}\n  + on ({SCRAPED_ACCOUNT}) group_left () {generated}")


def _level(level: str, by: str, window: str) -> Iterator[RecordingRule]:
    yield from _rates(level, by, window)
    yield from _money(level, by, window)
    yield from _ratios(level, by, window)
    yield from _goodput(level, by, window)


def _rates(level: str, by: str, window: str) -> Iterator[RecordingRule]:
    for name in ("prompt_tokens", "generated_tokens", "energy_joules"):
        yield RecordingRule(f"{level}:goodwatt_{name}:rate{window}", sum_rate(f"{name}_total", window, by=by))
    carbon = sum_rate("carbon_grams_total", window, by=by)
    yield RecordingRule(f"{level}:goodwatt_carbon_grams_per_hour:rate{window}", f"3600 * {carbon}")


def _money(level: str, by: str, window: str) -> Iterator[RecordingRule]:
    for name in ("cost", "revenue"):
        amount = sum_rate(f"{name}_total", window, by=f"{by}, currency")
        yield RecordingRule(f"{level}:goodwatt_{name}_per_hour:rate{window}", f"3600 * {amount}")
    revenue, cost = (f"{level}:goodwatt_{name}_per_hour:rate{window}" for name in ("revenue", "cost"))
    yield RecordingRule(f"{level}:goodwatt_margin_per_hour:rate{window}", f"{revenue} - {cost}")


def _ratios(level: str, by: str, window: str) -> Iterator[RecordingRule]:
    joules = f"(sum by ({by}) ({_part('energy_joules', window)}) > 0)"
    idle = f'sum by ({by}) ({_part("energy_joules", window)}{{state="idle"}})'
    tokens = f"(sum by ({by}) ({_part('generated_tokens', window)}) > 0)"
    cost = f"sum by ({by}, currency) ({_part('cost', window)})"
    paid = f"(sum by ({by}, currency) ({_part('paid_tokens', window)}) > 0)"
    per_joule, per_million = (
        f"{level}:goodwatt_{name}:ratio_rate{window}" for name in ("tokens_per_joule", "cost_per_million_tokens")
    )
    yield RecordingRule(per_joule, f"{tokens}\n  / {joules}", GENERATED_KIND)
    yield RecordingRule(per_million, f"1e6 * {cost}\n  / {paid}", GENERATED_KIND)
    yield RecordingRule(f"{level}:goodwatt_idle_energy:ratio_rate{window}", f"{idle}\n  / {joules}")


def _good(alerting: Alerting, window: str) -> RecordingRule:
    return RecordingRule(_part("good_requests", window), good_requests(scaled_seconds(BASE_SECONDS, alerting)))


def _goodput(level: str, by: str, window: str) -> Iterator[RecordingRule]:
    """Keep `bound` and `method`: all methods count the same requests, so they are never summed."""
    good = f"sum by ({by}, slo, method, bound) ({_part('good_requests', window)})"
    eligible = sum_rate("slo_requests_total", window, by=f"{by}, slo, method")
    record = f"{level}:goodwatt_good_requests:rate{window}"
    yield RecordingRule(record, good)
    yield RecordingRule(
        f"{level}:goodwatt_goodput:ratio_rate{window}",
        f"clamp_max(\n  {record}\n  / on ({by}, slo, method) group_left () ({eligible} > 0), 1)",
    )


def _gpus(window: str) -> Iterator[RecordingRule]:
    """Record the fleet's measured energy, and the unattributed part of energy and cost."""
    measured = f"fleet:goodwatt_gpu_energy_joules:rate{window}"
    yield RecordingRule(measured, sum_rate("gpu_energy_joules_total", window, by="job"))
    energy = sum_rate("gpu_unattributed_energy_joules_total", window, by="job")
    yield RecordingRule(f"fleet:goodwatt_gpu_unattributed_energy:ratio_rate{window}", f"{energy}\n  / ({measured} > 0)")
    cost = sum_rate("unattributed_cost_total", window, by="job, currency")
    yield RecordingRule(f"fleet:goodwatt_unattributed_cost_per_hour:rate{window}", f"3600 * {cost}")
