"""Alerts on GPUs, servers and goodwatt itself."""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.burn_rate import DAY, HOUR, MINUTE
from goodwatt.rules.promql import duration, old_enough, rate, seconds_of, seen_throughout, wait_of, window_of
from goodwatt.rules.rule import PAGE, TICKET, Alert, Group

GPU = "job, instance, gpu, uuid"
WHICH_GPU = "GPU {{ $labels.gpu }} of {{ $labels.instance }}"
WHERE = "goodwatt {{ $labels.instance }}"
# Reasons that somebody set, or that a GPU at full load has by design.
BY_DESIGN = "sw_power_cap|applications_clocks_setting|sync_boost"
REMEMBERED = 3 * DAY  # how long a goodwatt is missed


def machine_groups(alerting: Alerting) -> tuple[Group, ...]:
    """GPUs, and what is read and by whom."""
    return (
        Group("goodwatt-gpu-alerts", tuple(_gpus(alerting))),
        Group("goodwatt-health", (*_read(alerting), *_itself(alerting), *_scraped(alerting))),
    )


def _gpus(alerting: Alerting) -> Iterator[Alert]:
    yield Alert(
        "GoodwattGpuLost",
        PAGE,
        'goodwatt_gpu_state{state="lost"} == 1',
        f"{WHICH_GPU} does not answer",
        "The driver cannot reach {{ $labels.uuid }}. What ran on it has failed, and its energy is not counted; rent "
        "goes on.",
        alerting.runbook_url,
        wait_of(MINUTE, alerting),
    )
    yield _throttled(alerting)
    yield _disagreement(alerting)
    yield _unattributed(alerting)


def _throttled(alerting: Alerting) -> Alert:
    window = window_of(15 * MINUTE, alerting)
    old = old_enough("gpu_throttled", seconds_of(15 * MINUTE, alerting))
    return Alert(
        "GoodwattGpuThrottled",
        TICKET,
        f'avg_over_time(goodwatt_gpu_throttled{{reason!~"{BY_DESIGN}"}}[{window}]) > 0.5\n  and {old}',
        f"{WHICH_GPU} is throttled: {{{{ $labels.reason }}}}",
        f"In {{{{ $value | humanizePercentage }}}} of the last {window} its clocks were held back.",
        alerting.runbook_url,
    )


def _disagreement(alerting: Alerting) -> Alert:
    window = window_of(HOUR, alerting)
    counted = rate("gpu_energy_joules_total", window, by=GPU)
    sampled = f"(avg by ({GPU}) (avg_over_time(goodwatt_gpu_power_watts[{window}])) > 0)"
    throughout = seen_throughout("gpu_power_watts", seconds_of(HOUR, alerting))
    measured = 'goodwatt_gpu_info{energy_method="measured", energy_scope="gpu"}'
    limit = f"{alerting.energy_disagreement_ratio:g}"
    return Alert(
        "GoodwattEnergyDisagreement",
        TICKET,
        f"abs({counted}\n  / {sampled} - 1) > {limit}\n  and on ({GPU}) {throughout}\n  and on ({GPU}) {measured}",
        f"{WHICH_GPU}: the energy counter and the power sensor disagree",
        f"Over the last {window} they differ by {{{{ $value | humanizePercentage }}}}. Figures per joule of this GPU "
        "may be as wrong.",
        alerting.runbook_url,
        wait_of(30 * MINUTE, alerting),
    )


def _unattributed(alerting: Alerting) -> Alert:
    window = window_of(HOUR, alerting)
    rest = rate("gpu_unattributed_energy_joules_total", window, by="job, instance")
    whole = rate("gpu_energy_joules_total", window, by="job, instance")
    limit = f"{alerting.unattributed_ratio:g}"
    return Alert(
        "GoodwattEnergyUnattributed",
        TICKET,
        f"{rest}\n  / ({whole} > 0) > {limit}\n  and on (job, instance) goodwatt_server_up",
        f"{WHERE}: much of the GPUs' energy belongs to no server",
        f"{{{{ $value | humanizePercentage }}}} of the joules of the last {window} were claimed by no server, and no "
        "figure of a server has them.",
        alerting.runbook_url,
        wait_of(15 * MINUTE, alerting),
    )


def _read(alerting: Alerting) -> Iterator[Alert]:
    yield Alert(
        "GoodwattServerDown",
        PAGE,
        "goodwatt_server_up == 0",
        "Server {{ $labels.server }} cannot be read",
        f"{WHERE} has not read its metrics page for 2 minutes. It is down, out of reach, or refuses.",
        alerting.runbook_url,
        wait_of(2 * MINUTE, alerting),
    )
    yield Alert(
        "GoodwattSourceDown",
        TICKET,
        'goodwatt_source_up{source!~"server/.*"} == 0',
        f"{WHERE} cannot read {{{{ $labels.source }}}}",
        "It has failed for 5 minutes; goodwatt_source_failures_total and the log say why. Its series are absent.",
        alerting.runbook_url,
        wait_of(5 * MINUTE, alerting),
    )


def _itself(alerting: Alerting) -> Iterator[Alert]:
    stall = duration(10 * MINUTE * alerting.scale)
    yield Alert(
        "GoodwattTickStalled",
        TICKET,
        f"goodwatt_ticks_total == goodwatt_ticks_total offset {stall}",
        f"{WHERE} answers but reads nothing",
        f"It has not ticked for {stall}; every figure on its page is as old.",
        alerting.runbook_url,
        wait_of(MINUTE, alerting),
    )
    yield Alert(
        "GoodwattConfigReloadFailed",
        TICKET,
        "goodwatt_config_last_reload_successful == 0",
        f"{WHERE} refused its configuration",
        "The one before stays in force, and a restart would fail. `goodwatt check --config FILE` tells every mistake.",
        alerting.runbook_url,
        wait_of(5 * MINUTE, alerting),
    )


def _scraped(alerting: Alerting) -> Iterator[Alert]:
    memory = duration(REMEMBERED * alerting.scale)
    yield Alert(
        "GoodwattExporterDown",
        TICKET,
        f"up == 0 and on (job, instance) max_over_time(goodwatt_build_info[{memory}])",
        f"{WHERE} cannot be scraped",
        "Prometheus gets no page from it, so that no other alert on its servers can fire.",
        alerting.runbook_url,
        wait_of(5 * MINUTE, alerting),
    )
    yield Alert(
        "GoodwattAbsent",
        PAGE,
        "absent(goodwatt_build_info)",
        "No goodwatt is scraped",
        "Prometheus has no page of any goodwatt, so that no other alert of goodwatt can fire.",
        alerting.runbook_url,
        wait_of(5 * MINUTE, alerting),
    )
