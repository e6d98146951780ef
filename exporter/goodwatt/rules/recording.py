"""Recording rules: the figures that people ask for, at three levels, as sums of counters over sums of counters.

Every level keeps `job`, so that several jobs in one Prometheus stay apart. What is unknown has no sample: a ratio over
nothing is absent, never 0, NaN or infinite.
"""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.promql import ACCOUNT, energy_of_known, good_requests, known, rate, seconds_of, window_of
from goodwatt.rules.rule import Group, Record

LEVELS = {"server_model": "job, server, model", "model": "job, model", "fleet": "job"}
BASE = 300  # seconds
GENERATED = {"kind": "generated"}  # a ratio with tokens always says which


def recording_groups(alerting: Alerting) -> tuple[Group, ...]:
    """One group: its rules are evaluated in their order and at one moment, groups beside each other."""
    window = window_of(BASE, alerting)
    levels = (record for level, by in LEVELS.items() for record in _level(level, by, window))
    return (Group("goodwatt-figures", (*_parts(window), _good(alerting, window), *levels, *_gpus(window))),)


def _part(metric: str, window: str) -> str:
    return f"instance_server_model:goodwatt_{metric}:rate{window}"


def _parts(window: str) -> Iterator[Record]:
    """Accounts of which tokens and joules, or tokens and money, are both known, without gaps: what ratios are made of.

    Rent is known also where no joules are. Paid tokens have the currency of what they cost.
    """
    energy, tokens = _part("energy_joules", window), _part("generated_tokens", window)
    generated = rate("generated_tokens_total", window, by=ACCOUNT)
    yield Record(energy, energy_of_known(window))
    yield Record(tokens, f"{generated}\n  and on ({ACCOUNT}) {energy}")
    cost, paid = _part("cost", window), _part("paid_tokens", window)
    yield Record(cost, known(rate("cost_total", window, by=f"{ACCOUNT}, currency"), window))
    yield Record(paid, f"0 * {cost}\n  + on ({ACCOUNT}) group_left () {generated}")


def _level(level: str, by: str, window: str) -> Iterator[Record]:
    yield from _rates(level, by, window)
    yield from _money(level, by, window)
    yield from _ratios(level, by, window)
    yield from _goodput(level, by, window)


def _rates(level: str, by: str, window: str) -> Iterator[Record]:
    for name in ("prompt_tokens", "generated_tokens", "energy_joules"):
        yield Record(f"{level}:goodwatt_{name}:rate{window}", rate(f"{name}_total", window, by=by))
    carbon = rate("carbon_grams_total", window, by=by)
    yield Record(f"{level}:goodwatt_carbon_grams_per_hour:rate{window}", f"3600 * {carbon}")


def _money(level: str, by: str, window: str) -> Iterator[Record]:
    for name in ("cost", "revenue"):
        spent = rate(f"{name}_total", window, by=f"{by}, currency")
        yield Record(f"{level}:goodwatt_{name}_per_hour:rate{window}", f"3600 * {spent}")
    earned, spent = (f"{level}:goodwatt_{name}_per_hour:rate{window}" for name in ("revenue", "cost"))
    yield Record(f"{level}:goodwatt_margin_per_hour:rate{window}", f"{earned} - {spent}")


def _ratios(level: str, by: str, window: str) -> Iterator[Record]:
    joules = f"(sum by ({by}) ({_part('energy_joules', window)}) > 0)"
    idle = f'sum by ({by}) ({_part("energy_joules", window)}{{state="idle"}})'
    tokens = f"(sum by ({by}) ({_part('generated_tokens', window)}) > 0)"
    spent = f"sum by ({by}, currency) ({_part('cost', window)})"
    paid = f"(sum by ({by}, currency) ({_part('paid_tokens', window)}) > 0)"
    yield Record(f"{level}:goodwatt_tokens_per_joule:ratio_rate{window}", f"{tokens}\n  / {joules}", GENERATED)
    yield Record(
        f"{level}:goodwatt_cost_per_million_tokens:ratio_rate{window}",
        f"1e6 * {spent}\n  / {paid}",
        GENERATED,
    )
    yield Record(f"{level}:goodwatt_idle_energy:ratio_rate{window}", f"{idle}\n  / {joules}")


def _good(alerting: Alerting, window: str) -> Record:
    return Record(_part("good_requests", window), good_requests(seconds_of(BASE, alerting)))


def _goodput(level: str, by: str, window: str) -> Iterator[Record]:
    """By bound and method: both methods count the same requests, so they are never added up."""
    good = f"sum by ({by}, slo, method, bound) ({_part('good_requests', window)})"
    judged = rate("slo_requests_total", window, by=f"{by}, slo, method")
    yield Record(f"{level}:goodwatt_good_requests:rate{window}", good)
    yield Record(
        f"{level}:goodwatt_goodput:ratio_rate{window}",
        f"clamp_max(\n"
        f"  {level}:goodwatt_good_requests:rate{window}\n  / on ({by}, slo, method) group_left () ({judged} > 0), 1)",
    )


def _gpus(window: str) -> Iterator[Record]:
    """What was measured, and what of it nobody claimed."""
    measured = f"fleet:goodwatt_gpu_energy_joules:rate{window}"
    yield Record(measured, rate("gpu_energy_joules_total", window, by="job"))
    rest = rate("gpu_unattributed_energy_joules_total", window, by="job")
    yield Record(f"fleet:goodwatt_gpu_unattributed_energy:ratio_rate{window}", f"{rest}\n  / ({measured} > 0)")
    spent = rate("unattributed_cost_total", window, by="job, currency")
    yield Record(f"fleet:goodwatt_unattributed_cost_per_hour:rate{window}", f"3600 * {spent}")
