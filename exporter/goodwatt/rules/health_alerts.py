"""Alerts on what goodwatt can read, and on goodwatt itself."""

from collections.abc import Iterator

from goodwatt.model.alerting import Alerting
from goodwatt.rules.burn_rate import DAY, MINUTE
from goodwatt.rules.promql import duration, scaled_duration, scaled_seconds
from goodwatt.rules.rule import PAGE, TICKET, AlertRule, RuleGroup, group_of

EXPORTER = "goodwatt {{ $labels.instance }}"
REMEMBERED_SECONDS = 3 * DAY  # a target that served goodwatt within this time is expected to be up


def server_down(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when a server's metrics page cannot be read."""
    yield AlertRule(
        "GoodwattServerDown",
        PAGE,
        "goodwatt_server_up == 0",
        "Server {{ $labels.server }} cannot be read",
        f"{EXPORTER} has failed to read its metrics page for 2 minutes: it is down, unreachable, or refuses.",
        alerting.runbook_url,
        scaled_duration(2 * MINUTE, alerting),
    )


def server_hung(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when requests are in progress and nothing moves, although the page can be read."""
    seconds = scaled_seconds(alerting.hung_seconds, alerting)
    yield AlertRule(
        "GoodwattServerHung",
        PAGE,
        f"goodwatt_server_stalled_seconds > {seconds}",
        "Server {{ $labels.server }} has requests in progress and makes no progress",
        f"Its page shows requests in progress, but no token, request or latency was counted for {duration(seconds)}. "
        "Either the engine hangs, or its gauge of running requests is stuck after aborts.",
        alerting.runbook_url,
    )


def source_down(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when a source other than a server cannot be read."""
    yield AlertRule(
        "GoodwattSourceDown",
        TICKET,
        'goodwatt_source_up{source!~"server/.*"} == 0',
        f"{EXPORTER} cannot read {{{{ $labels.source }}}}",
        "It has failed for 5 minutes; goodwatt_source_failures_total and the log give the reason. Its series are "
        "absent.",
        alerting.runbook_url,
        scaled_duration(5 * MINUTE, alerting),
    )


def tick_stalled(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when goodwatt serves its page but has stopped reading its sources."""
    stall = scaled_duration(10 * MINUTE, alerting)
    yield AlertRule(
        "GoodwattTickStalled",
        TICKET,
        f"goodwatt_ticks_total == goodwatt_ticks_total offset {stall}",
        f"{EXPORTER} is up but has stopped reading its sources",
        f"It has not ticked for {stall}; every figure it serves is at least that old.",
        alerting.runbook_url,
        scaled_duration(MINUTE, alerting),
    )


def config_reload_failed(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when the last reload was rejected."""
    yield AlertRule(
        "GoodwattConfigReloadFailed",
        TICKET,
        "goodwatt_config_last_reload_successful == 0",
        f"{EXPORTER} rejected its configuration",
        "The previous configuration is still active, and a restart would fail. `goodwatt check --config FILE` lists "
        "every error.",
        alerting.runbook_url,
        scaled_duration(5 * MINUTE, alerting),
    )


def exporter_down(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when a target that recently served goodwatt cannot be scraped."""
    memory = scaled_duration(REMEMBERED_SECONDS, alerting)
    yield AlertRule(
        "GoodwattExporterDown",
        TICKET,
        f"up == 0 and on (job, instance) max_over_time(goodwatt_build_info[{memory}])",
        f"{EXPORTER} cannot be scraped",
        "Prometheus gets no metrics from it, so no other alert on its servers can fire.",
        alerting.runbook_url,
        scaled_duration(5 * MINUTE, alerting),
    )


def goodwatt_absent(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when Prometheus has no goodwatt at all."""
    yield AlertRule(
        "GoodwattAbsent",
        PAGE,
        "absent(goodwatt_build_info)",
        "No goodwatt is scraped",
        "Prometheus has no metrics from any goodwatt, so no other goodwatt alert can fire.",
        alerting.runbook_url,
        scaled_duration(5 * MINUTE, alerting),
    )


HEALTH_ALERTS = (
    server_down,
    server_hung,
    source_down,
    tick_stalled,
    config_reload_failed,
    exporter_down,
    goodwatt_absent,
)


def health_alert_group(alerting: Alerting) -> RuleGroup:
    """Return the group `goodwatt-health`."""
    return group_of("goodwatt-health", HEALTH_ALERTS, alerting)
