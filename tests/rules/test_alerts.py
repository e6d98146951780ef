"""Every alert other than those on error budgets fires, stays quiet and resolves under promtool."""

from dataclasses import replace
from pathlib import Path

import pytest

from goodwatt.rules import alert_names
from tests.rules.promtool import ALERTING, HOURS, Counter, Fired, Gap, Gauge, Series, Story

I = 'job="j", instance="i"'  # noqa: E741 - the labels of a scrape
S = f'{I}, server="s"'
M = f'{S}, model="m"'
G = f'{I}, gpu="0", uuid="GPU-1"'
COST_GROUP, OTHER_GROUPS = ("goodwatt-economy",), ("goodwatt-gpu-alerts", "goodwatt-health")
QUIET_NOW: tuple[Fired, ...] = ()


def ticket(summary: str, description: str, **labels: str) -> tuple[Fired, ...]:
    return (Fired({"job": "j", "severity": "ticket", **labels}, summary, description),)


def page(summary: str, description: str, **labels: str) -> tuple[Fired, ...]:
    return (Fired({"job": "j", "severity": "page", **labels}, summary, description),)


def work(*legs: tuple[int, float, float]) -> Series:
    """(minutes, tokens per second, watts) of a server that is up."""
    minutes = sum(length for length, _, _ in legs)
    return {
        f"goodwatt_server_up{{{S}}}": Gauge((minutes, 1)),
        f"goodwatt_generated_tokens_total{{{M}}}": Counter(*((length, 60 * rate) for length, rate, _ in legs)),
        f'goodwatt_energy_joules_total{{{M}, state="busy"}}': Counter(*((n, 60 * watts) for n, _, watts in legs)),
    }


REGRESSION = ticket(
    "m on s yields fewer tokens per joule than before at similar load",
    "Over the last 1h it yielded 52.5% of the tokens per joule of the 7d before, at similar load (tokens per second "
    "within 20 %).",
    server="s",
    model="m",
)
IDLE_COST = {f'goodwatt_cost_total{{{M}, component="rent", currency="USD"}}': Counter((24 * HOURS, 2 / 60))}


def energy(*legs: tuple[int, float, float]) -> Series:
    """(minutes, watts busy, watts idle)."""
    return {
        f'goodwatt_energy_joules_total{{{M}, state="busy"}}': Counter(*((n, 60 * busy) for n, busy, _ in legs)),
        f'goodwatt_energy_joules_total{{{M}, state="idle"}}': Counter(*((n, 60 * idle) for n, _, idle in legs)),
    }


def gpu_energy(counted: tuple[tuple[int, float], ...], shown: float, method: str = "measured") -> Series:
    """Watts by the counter, leg by leg, and watts that the sensor shows."""
    labels = f'{G}, product="H", driver="1", energy_method="{method}", energy_scope="gpu"'
    minutes = sum(length for length, _ in counted)
    return {
        f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter(*((n, 60 * watts) for n, watts in counted)),
        f"goodwatt_gpu_power_watts{{{G}}}": Gauge((minutes, shown)),
        f"goodwatt_gpu_info{{{labels}}}": Gauge((minutes, 1)),
    }


STORIES = (
    Story(
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 1000, 1000), (3 * HOURS, 1000, 500)),
        {24 * HOURS: QUIET_NOW, 27 * HOURS - 10: REGRESSION, 29 * HOURS: QUIET_NOW},
        groups=COST_GROUP,
        step=10,
    ),
    Story(
        "GoodwattIdleBurnsMoney",
        energy((6 * HOURS, 500, 0), (8 * HOURS, 0, 100), (6 * HOURS, 500, 0)) | IDLE_COST,
        {
            6 * HOURS: QUIET_NOW,
            14 * HOURS - 10: ticket(
                "m on s spends most of its energy idle",
                "100% of its GPU energy over the last 6h was spent while it served no request. It costs 2.00 USD per "
                "hour.",
                server="s",
                model="m",
            ),
            19 * HOURS: QUIET_NOW,
        },
        groups=COST_GROUP,
        step=10,
    ),
    Story(
        "GoodwattCostPerTokenAboveTarget",
        {
            f'goodwatt_cost_total{{{M}, component="rent", currency="USD"}}': Counter((9 * HOURS, 2 / 60)),
            f"goodwatt_generated_tokens_total{{{M}}}": Counter((180, 1e5), (180, 1e4), (180, 1e5)),
            # Tokens paid in another currency do not lower this price.
            f'goodwatt_cost_total{{{I}, server="t", model="m", component="rent", currency="EUR"}}': Counter(
                (9 * HOURS, 9)
            ),
            f'goodwatt_generated_tokens_total{{{I}, server="t", model="m"}}': Counter((9 * HOURS, 1e7)),
        },
        {
            3 * HOURS: QUIET_NOW,
            6 * HOURS - 10: ticket(
                "m costs more per token than the target",
                "Over the last 1h a million generated tokens cost 3.33 USD, idle time included; the target is 0.5.",
                model="m",
                currency="USD",
            ),
            8 * HOURS: QUIET_NOW,
        },
        groups=COST_GROUP,
        step=10,
    ),
    Story(
        "GoodwattGpuLost",
        {
            f'goodwatt_gpu_state{{{G}, state="ok"}}': Gauge((10, 1), (10, 0), (10, 1)),
            f'goodwatt_gpu_state{{{G}, state="lost"}}': Gauge((10, 0), (10, 1), (10, 0)),
        },
        {
            9: QUIET_NOW,
            10: QUIET_NOW,
            15: page(
                "GPU 0 of i does not respond",
                "The driver cannot reach GPU-1. Whatever ran on it has failed, and its energy is not counted; rental "
                "cost continues.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
                state="lost",
            ),
            25: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattGpuThrottled",
        {
            f'goodwatt_gpu_throttled{{{G}, reason="hw_thermal_slowdown"}}': Gauge((30, 0), (20, 1), (30, 0)),
            f'goodwatt_gpu_throttled{{{G}, reason="sw_power_cap"}}': Gauge((80, 1)),
        },
        {
            30: QUIET_NOW,
            45: ticket(
                "GPU 0 of i is throttled: hw_thermal_slowdown",
                "Its clocks were reduced for 100% of the last 15m.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
                reason="hw_thermal_slowdown",
            ),
            70: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattEnergyDisagreement",
        gpu_energy(((120, 500), (120, 700), (120, 500)), shown=500),
        {
            110: QUIET_NOW,
            230: ticket(
                "GPU 0 of i: energy counter and power sensor disagree",
                "They differ by 40% over the last 1h. This GPU's per-joule figures may be wrong by as much.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
            ),
            350: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattEnergyUnattributed",
        {
            f"goodwatt_server_up{{{S}}}": Gauge((360, 1)),
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter((360, 30_000)),
            f"goodwatt_gpu_unattributed_energy_joules_total{{{G}}}": Counter((120, 0), (120, 15_000), (120, 0)),
        },
        {
            110: QUIET_NOW,
            230: ticket(
                "goodwatt i: much of the GPU energy is unattributed",
                "No server claimed 50% of the GPU energy of the last 1h, so it is in no server's figures.",
                instance="i",
            ),
            350: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattServerDown",
        {f"goodwatt_server_up{{{S}}}": Gauge((10, 1), (10, 0), (10, 1))},
        {
            9: QUIET_NOW,
            11: QUIET_NOW,
            13: page(
                "Server s cannot be read",
                "goodwatt i has failed to read its metrics page for 2 minutes: it is down, unreachable, or refuses.",
                instance="i",
                server="s",
            ),
            21: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattServerHung",
        {f"goodwatt_server_stalled_seconds{{{S}}}": Gauge((10, 0), (2, 110), (5, 180), (5, 0))},
        {
            9: QUIET_NOW,
            11: QUIET_NOW,
            13: page(
                "Server s has requests in progress and makes no progress",
                "Its page shows requests in progress, but no token, request or latency was counted for 2m. Either the "
                "engine hangs, or its gauge of running requests is stuck after aborts.",
                instance="i",
                server="s",
            ),
            18: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattSourceDown",
        {
            f'goodwatt_source_up{{{I}, source="nvml"}}': Gauge((10, 1), (10, 0), (10, 1)),
            f'goodwatt_source_up{{{I}, source="server/s"}}': Gauge((30, 0)),
        },
        {
            9: QUIET_NOW,
            13: QUIET_NOW,
            16: ticket(
                "goodwatt i cannot read nvml",
                "It has failed for 5 minutes; goodwatt_source_failures_total and the log give the reason. Its series "
                "are absent.",
                instance="i",
                source="nvml",
            ),
            21: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattTickStalled",
        {f"goodwatt_ticks_total{{{I}}}": Counter((30, 12), (20, 0), (20, 12))},
        {
            30: QUIET_NOW,
            45: ticket(
                "goodwatt i is up but has stopped reading its sources",
                "It has not ticked for 10m; every figure it serves is at least that old.",
                instance="i",
            ),
            55: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattConfigReloadFailed",
        {f"goodwatt_config_last_reload_successful{{{I}}}": Gauge((10, 1), (10, 0), (10, 1))},
        {
            9: QUIET_NOW,
            13: QUIET_NOW,
            16: ticket(
                "goodwatt i rejected its configuration",
                "The previous configuration is still active, and a restart would fail. `goodwatt check --config FILE` "
                "lists every error.",
                instance="i",
            ),
            21: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattExporterDown",
        {
            f"up{{{I}}}": Gauge((10, 1), (20, 0), (10, 1)),
            'up{job="j", instance="stranger"}': Gauge((40, 0)),
            f'goodwatt_build_info{{{I}, version="1"}}': Gauge((10, 1), (20, None), (10, 1)),
        },
        {
            9: QUIET_NOW,
            13: QUIET_NOW,
            16: ticket(
                "goodwatt i cannot be scraped",
                "Prometheus gets no metrics from it, so no other alert on its servers can fire.",
                instance="i",
            ),
            31: QUIET_NOW,
        },
    ),
    Story(
        "GoodwattAbsent",
        {f'goodwatt_build_info{{{I}, version="1"}}': Gauge((10, 1), (20, None), (10, 1))},
        {
            9: QUIET_NOW,
            16: QUIET_NOW,
            25: (
                Fired(
                    {"severity": "page"},
                    "No goodwatt is scraped",
                    "Prometheus has no metrics from any goodwatt, so no other goodwatt alert can fire.",
                ),
            ),
            31: QUIET_NOW,
        },
    ),
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.alert)
def test_the_alert_fires_and_resolves(story: Story, tmp_path: Path) -> None:
    """The alert is quiet, fires with exactly these labels and annotations, and resolves."""
    assert story.moments[min(story.moments)] == story.moments[max(story.moments)] == QUIET_NOW
    assert any(story.moments.values())
    complaints = replace(story, groups=story.groups or OTHER_GROUPS).complaints(tmp_path)
    assert not complaints, complaints


def test_every_alert_has_a_story() -> None:
    """Every alert that can be generated has a story, here or, for error budgets, in test_slo_alerts."""
    assert {story.alert for story in STORIES} | {"GoodwattSloBudgetBurn", "GoodwattSloBudgetMayBurn"} == set(
        alert_names()
    )


QUIET = (
    (
        "a change of load, which changes tokens per joule several times over, is no regression",
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 200, 300)),
        27 * HOURS - 10,
    ),
    (
        "a server without requests has no tokens per joule",
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 0, 100)),
        27 * HOURS - 10,
    ),
    (
        "two hours of history are no baseline",
        "GoodwattEfficiencyRegression",
        work((2 * HOURS, 1000, 500), (2 * HOURS, 1000, 1000)),
        4 * HOURS - 10,
    ),
    (
        "energy from an outage of the server, when no tokens were counted, is not compared",
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 1000, 1000))
        | {f"goodwatt_server_up{{{S}}}": Gauge((26 * HOURS, 1), (HOURS, 0))},
        27 * HOURS - 10,
    ),
    (
        "without tokens there is no cost per token",
        "GoodwattCostPerTokenAboveTarget",
        IDLE_COST | {f"goodwatt_generated_tokens_total{{{M}}}": Counter((10 * HOURS, 0))},
        6 * HOURS,
    ),
    (
        "another currency has another target",
        "GoodwattCostPerTokenAboveTarget",
        {
            f'goodwatt_cost_total{{{M}, component="rent", currency="EUR"}}': Counter((10 * HOURS, 100)),
            f"goodwatt_generated_tokens_total{{{M}}}": Counter((10 * HOURS, 10)),
        },
        6 * HOURS,
    ),
    (
        "the cost of a server without token counters is left out",
        "GoodwattCostPerTokenAboveTarget",
        {
            f'goodwatt_cost_total{{{M}, component="rent", currency="USD"}}': Counter((10 * HOURS, 0.01)),
            f"goodwatt_generated_tokens_total{{{M}}}": Counter((10 * HOURS, 1e5)),
            f'goodwatt_cost_total{{{I}, server="t", model="m", component="rent", currency="USD"}}': Counter(
                (10 * HOURS, 1)
            ),
        },
        6 * HOURS,
    ),
    (
        "a server idle for the last hour alone was not idle for most of six hours",
        "GoodwattIdleBurnsMoney",
        energy((3 * HOURS, 0, 100)) | IDLE_COST,
        HOURS,
    ),
    (
        "the first sample does not stand for 15 minutes",
        "GoodwattGpuThrottled",
        {f'goodwatt_gpu_throttled{{{G}, reason="hw_slowdown"}}': Gauge((5, None), (2, 1), (20, 0))},
        6,
    ),
    (
        "half an hour after the start, the one-hour rate is half of the mean, and neither is wrong",
        "GoodwattEnergyDisagreement",
        gpu_energy(((120, 500),), shown=500),
        35,
    ),
    (
        "after a gap, the rate and the mean power cover different times",
        "GoodwattEnergyDisagreement",
        gpu_energy(((240, 500),), shown=500)
        | {
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Gap(Counter((100, 30_000)), 20, Counter((120, 30_000))),
            f"goodwatt_gpu_power_watts{{{G}}}": Gauge((100, 500), (20, None), (120, 500)),
        },
        155,
    ),
    (
        "integrated energy comes from the sensor and cannot disagree with it",
        "GoodwattEnergyDisagreement",
        gpu_energy(((300, 700),), shown=500, method="integrated"),
        290,
    ),
    (
        "without servers, all energy is unattributed by design",
        "GoodwattEnergyUnattributed",
        {
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter((300, 30_000)),
            f"goodwatt_gpu_unattributed_energy_joules_total{{{G}}}": Counter((300, 30_000)),
        },
        290,
    ),
    (
        "a GPU that uses no energy has no unattributed share",
        "GoodwattEnergyUnattributed",
        {
            f"goodwatt_server_up{{{S}}}": Gauge((300, 1)),
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter((300, 0)),
            f"goodwatt_gpu_unattributed_energy_joules_total{{{G}}}": Counter((300, 0)),
        },
        290,
    ),
    (
        "a restart resets the tick counter and is no stall",
        "GoodwattTickStalled",
        {f"goodwatt_ticks_total{{{I}}}": Gauge((20, 240), (1, 5), (1, 17), (1, 29), (20, 40))},
        24,
    ),
)


@pytest.mark.parametrize(("why", "alert", "series", "minute"), QUIET, ids=[why for why, *_ in QUIET])
def test_a_false_alarm_is_avoided(why: str, alert: str, series: Series, minute: int, tmp_path: Path) -> None:
    """The alert stays quiet in situations that resemble a fault."""
    cost = alert in ("GoodwattEfficiencyRegression", "GoodwattIdleBurnsMoney", "GoodwattCostPerTokenAboveTarget")
    groups, step = (COST_GROUP, 10) if cost else (OTHER_GROUPS, 1)
    story = Story(alert, series, {minute: QUIET_NOW}, groups=groups, step=step)
    complaints = story.complaints(tmp_path)
    assert not complaints, complaints


def test_configured_limits_apply(tmp_path: Path) -> None:
    """A configured limit replaces the default: an idle share of 99 % is quiet with `idle_ratio` at 99.5 %."""
    series = energy((14 * HOURS, 1, 100)) | IDLE_COST
    moments = {13 * HOURS: QUIET_NOW}
    allowed = replace(ALERTING, idle_ratio=0.995)
    groups = COST_GROUP
    assert not Story("GoodwattIdleBurnsMoney", series, moments, allowed, groups, 10).complaints(tmp_path)
    assert Story("GoodwattIdleBurnsMoney", series, moments, ALERTING, groups, 10).complaints(tmp_path)
