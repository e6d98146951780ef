"""Alerts on GPUs."""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.burn_rate import HOUR, MINUTE
from goodwatt.rules.promql import (
    present_half_a_window_ago,
    present_throughout,
    scaled_duration,
    scaled_seconds,
    sum_rate,
)
from goodwatt.rules.rule import PAGE, TICKET, AlertRule, RuleGroup, group_of

EACH_GPU = "job, instance, gpu, uuid"
GPU_NAME = "GPU {{ $labels.gpu }} of {{ $labels.instance }}"
# Throttle reasons that an operator set, or that are normal at full load.
EXPECTED_REASONS = "sw_power_cap|applications_clocks_setting|sync_boost"


def gpu_lost(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when the driver cannot reach a GPU."""
    yield AlertRule(
        "GoodwattGpuLost",
        PAGE,
        'goodwatt_gpu_state{state="lost"} == 1',
        f"{GPU_NAME} does not respond",
        "The driver cannot reach {{ $labels.uuid }}. Whatever ran on it has failed, and its energy is not counted; "
        "rental cost continues.",
        alerting.runbook_url,
        scaled_duration(MINUTE, alerting),
    )


def gpu_throttled(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when something other than the power cap throttles a GPU for half of 15 minutes."""
    window = scaled_duration(15 * MINUTE, alerting)
    old_enough = present_half_a_window_ago("gpu_throttled", scaled_seconds(15 * MINUTE, alerting))
    yield AlertRule(
        "GoodwattGpuThrottled",
        TICKET,
        f'avg_over_time(goodwatt_gpu_throttled{{reason!~"{EXPECTED_REASONS}"}}[{window}]) > 0.5\n  and {old_enough}',
        f"{GPU_NAME} is throttled: {{{{ $labels.reason }}}}",
        f"Its clocks were reduced for {{{{ $value | humanizePercentage }}}} of the last {window}.",
        alerting.runbook_url,
    )


def energy_disagreement(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when a GPU's energy counter and its power sensor differ. Integrated energy cannot differ: it is skipped."""
    window = scaled_duration(HOUR, alerting)
    counted = sum_rate("gpu_energy_joules_total", window, by=EACH_GPU)
    sampled = f"(avg by ({EACH_GPU}) (avg_over_time(goodwatt_gpu_power_watts[{window}])) > 0)"
    throughout = present_throughout("gpu_power_watts", scaled_seconds(HOUR, alerting))
    measured = 'goodwatt_gpu_info{energy_method="measured", energy_scope="gpu"}'
    limit = f"{alerting.energy_disagreement_ratio:g}"
    yield AlertRule(
        "GoodwattEnergyDisagreement",
        TICKET,
        f"abs({counted}\n  / {sampled} - 1) > {limit}\n  and on ({EACH_GPU}) {throughout}\n"
        f"  and on ({EACH_GPU}) {measured}",
        f"{GPU_NAME}: energy counter and power sensor disagree",
        f"They differ by {{{{ $value | humanizePercentage }}}} over the last {window}. This GPU's per-joule figures "
        "may be wrong by as much.",
        alerting.runbook_url,
        scaled_duration(30 * MINUTE, alerting),
    )


def energy_unattributed(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when no server claims a large share of the GPU energy."""
    window = scaled_duration(HOUR, alerting)
    unattributed = sum_rate("gpu_unattributed_energy_joules_total", window, by="job, instance")
    total = sum_rate("gpu_energy_joules_total", window, by="job, instance")
    limit = f"{alerting.unattributed_ratio:g}"
    yield AlertRule(
        "GoodwattEnergyUnattributed",
        TICKET,
        f"{unattributed}\n  / ({total} > 0) > {limit}\n  and on (job, instance) goodwatt_server_up",
        "goodwatt {{ $labels.instance }}: much of the GPU energy is unattributed",
        f"No server claimed {{{{ $value | humanizePercentage }}}} of the GPU energy of the last {window}, so it is in "
        "no server's figures.",
        alerting.runbook_url,
        scaled_duration(15 * MINUTE, alerting),
    )


GPU_ALERTS = (gpu_lost, gpu_throttled, energy_disagreement, energy_unattributed)


def gpu_alert_group(alerting: Alerting) -> RuleGroup:
    """Return the group `goodwatt-gpu-alerts`."""
    return group_of("goodwatt-gpu-alerts", GPU_ALERTS, alerting)
