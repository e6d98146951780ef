"""Every other alert fires, does not fire, and resolves, under promtool: one story each, and more where it is subtle."""

from dataclasses import replace
from pathlib import Path

import pytest

from goodwatt.rules import alert_names
from tests.rules.promtool import ALERTING, HOURS, Counter, Fired, Gap, Gauge, Series, Story

I = 'job="j", instance="i"'  # noqa: E741 - the labels of a scrape
S = f'{I}, server="s"'
M = f'{S}, model="m"'
G = f'{I}, gpu="0", uuid="GPU-1"'
ECONOMY, MACHINES = ("goodwatt-economy",), ("goodwatt-gpu-alerts", "goodwatt-health")
NOBODY: tuple[Fired, ...] = ()


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
    "m on s gives fewer tokens per joule than before at the same load",
    "Over the last 1h it generated 52.5% of the tokens per joule that it gave in the 7d before, at moments of like "
    "load (tokens per second within 20 %).",
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
        {24 * HOURS: NOBODY, 27 * HOURS - 10: REGRESSION, 29 * HOURS: NOBODY},
        groups=ECONOMY,
        step=10,
    ),
    Story(
        "GoodwattIdleBurnsMoney",
        energy((6 * HOURS, 500, 0), (8 * HOURS, 0, 100), (6 * HOURS, 500, 0)) | IDLE_COST,
        {
            6 * HOURS: NOBODY,
            14 * HOURS - 10: ticket(
                "m on s spends most of its energy on waiting",
                "Of its GPU energy of the last 6h, 100% was spent while no request was served. It costs 2.00 USD an "
                "hour.",
                server="s",
                model="m",
            ),
            19 * HOURS: NOBODY,
        },
        groups=ECONOMY,
        step=10,
    ),
    Story(
        "GoodwattCostPerTokenAboveTarget",
        {
            f'goodwatt_cost_total{{{M}, component="rent", currency="USD"}}': Counter((9 * HOURS, 2 / 60)),
            f"goodwatt_generated_tokens_total{{{M}}}": Counter((180, 1e5), (180, 1e4), (180, 1e5)),
            # Tokens that were paid in another currency are not cheap, they are of another bill.
            f'goodwatt_cost_total{{{I}, server="t", model="m", component="rent", currency="EUR"}}': Counter(
                (9 * HOURS, 9)
            ),
            f'goodwatt_generated_tokens_total{{{I}, server="t", model="m"}}': Counter((9 * HOURS, 1e7)),
        },
        {
            3 * HOURS: NOBODY,
            6 * HOURS - 10: ticket(
                "m costs more per token than the target",
                "A million generated tokens of the last 1h cost 3.33 USD, idle time included; the target is 0.5.",
                model="m",
                currency="USD",
            ),
            8 * HOURS: NOBODY,
        },
        groups=ECONOMY,
        step=10,
    ),
    Story(
        "GoodwattGpuLost",
        {
            f'goodwatt_gpu_state{{{G}, state="ok"}}': Gauge((10, 1), (10, 0), (10, 1)),
            f'goodwatt_gpu_state{{{G}, state="lost"}}': Gauge((10, 0), (10, 1), (10, 0)),
        },
        {
            9: NOBODY,
            10: NOBODY,
            15: page(
                "GPU 0 of i does not answer",
                "The driver cannot reach GPU-1. What ran on it has failed, and its energy is not counted; rent goes "
                "on.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
                state="lost",
            ),
            25: NOBODY,
        },
    ),
    Story(
        "GoodwattGpuThrottled",
        {
            f'goodwatt_gpu_throttled{{{G}, reason="hw_thermal_slowdown"}}': Gauge((30, 0), (20, 1), (30, 0)),
            f'goodwatt_gpu_throttled{{{G}, reason="sw_power_cap"}}': Gauge((80, 1)),
        },
        {
            30: NOBODY,
            45: ticket(
                "GPU 0 of i is throttled: hw_thermal_slowdown",
                "In 100% of the last 15m its clocks were held back.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
                reason="hw_thermal_slowdown",
            ),
            70: NOBODY,
        },
    ),
    Story(
        "GoodwattEnergyDisagreement",
        gpu_energy(((120, 500), (120, 700), (120, 500)), shown=500),
        {
            110: NOBODY,
            230: ticket(
                "GPU 0 of i: the energy counter and the power sensor disagree",
                "Over the last 1h they differ by 40%. Figures per joule of this GPU may be as wrong.",
                instance="i",
                gpu="0",
                uuid="GPU-1",
            ),
            350: NOBODY,
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
            110: NOBODY,
            230: ticket(
                "goodwatt i: much of the GPUs' energy belongs to no server",
                "50% of the joules of the last 1h were claimed by no server, and no figure of a server has them.",
                instance="i",
            ),
            350: NOBODY,
        },
    ),
    Story(
        "GoodwattServerDown",
        {f"goodwatt_server_up{{{S}}}": Gauge((10, 1), (10, 0), (10, 1))},
        {
            9: NOBODY,
            11: NOBODY,
            13: page(
                "Server s cannot be read",
                "goodwatt i has not read its metrics page for 2 minutes. It is down, out of reach, or refuses.",
                instance="i",
                server="s",
            ),
            21: NOBODY,
        },
    ),
    Story(
        "GoodwattSourceDown",
        {
            f'goodwatt_source_up{{{I}, source="nvml"}}': Gauge((10, 1), (10, 0), (10, 1)),
            f'goodwatt_source_up{{{I}, source="server/s"}}': Gauge((30, 0)),
        },
        {
            9: NOBODY,
            13: NOBODY,
            16: ticket(
                "goodwatt i cannot read nvml",
                "It has failed for 5 minutes; goodwatt_source_failures_total and the log say why. Its series are "
                "absent.",
                instance="i",
                source="nvml",
            ),
            21: NOBODY,
        },
    ),
    Story(
        "GoodwattTickStalled",
        {f"goodwatt_ticks_total{{{I}}}": Counter((30, 12), (20, 0), (20, 12))},
        {
            30: NOBODY,
            45: ticket(
                "goodwatt i answers but reads nothing",
                "It has not ticked for 10m; every figure on its page is as old.",
                instance="i",
            ),
            55: NOBODY,
        },
    ),
    Story(
        "GoodwattConfigReloadFailed",
        {f"goodwatt_config_last_reload_successful{{{I}}}": Gauge((10, 1), (10, 0), (10, 1))},
        {
            9: NOBODY,
            13: NOBODY,
            16: ticket(
                "goodwatt i refused its configuration",
                "The one before stays in force, and a restart would fail. `goodwatt check --config FILE` tells every "
                "mistake.",
                instance="i",
            ),
            21: NOBODY,
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
            9: NOBODY,
            13: NOBODY,
            16: ticket(
                "goodwatt i cannot be scraped",
                "Prometheus gets no page from it, so that no other alert on its servers can fire.",
                instance="i",
            ),
            31: NOBODY,
        },
    ),
    Story(
        "GoodwattAbsent",
        {f'goodwatt_build_info{{{I}, version="1"}}': Gauge((10, 1), (20, None), (10, 1))},
        {
            9: NOBODY,
            16: NOBODY,
            25: (
                Fired(
                    {"severity": "page"},
                    "No goodwatt is scraped",
                    "Prometheus has no page of any goodwatt, so that no other alert of goodwatt can fire.",
                ),
            ),
            31: NOBODY,
        },
    ),
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.alert)
def test_it_fires_and_ends(story: Story, tmp_path: Path) -> None:
    """Quiet while all is well, fired with exactly these labels and words while it is not, quiet again afterwards."""
    assert story.moments[min(story.moments)] == story.moments[max(story.moments)] == NOBODY
    assert any(story.moments.values())
    complaints = replace(story, groups=story.groups or MACHINES).complaints(tmp_path)
    assert not complaints, complaints


def test_every_alert_has_its_story() -> None:
    """All that can be generated is told of, here or, of error budgets, in test_objectives."""
    assert {story.alert for story in STORIES} | {"GoodwattSloBudgetBurn", "GoodwattSloBudgetMayBurn"} == set(
        alert_names()
    )


QUIET = (
    (
        "load alone, which moves tokens per joule manyfold, is no regression",
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 200, 300)),
        27 * HOURS - 10,
    ),
    (
        "a server that stands still has no tokens per joule",
        "GoodwattEfficiencyRegression",
        work((24 * HOURS, 1000, 500), (3 * HOURS, 0, 100)),
        27 * HOURS - 10,
    ),
    (
        "two hours of a past are no baseline",
        "GoodwattEfficiencyRegression",
        work((2 * HOURS, 1000, 500), (2 * HOURS, 1000, 1000)),
        4 * HOURS - 10,
    ),
    (
        "joules of a time without tokens, when the server could not be read, are not compared",
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
        "what a server costs that does not count its tokens is no part of their price",
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
        "a server that began to wait within the hour was not idle for most of six",
        "GoodwattIdleBurnsMoney",
        energy((3 * HOURS, 0, 100)) | IDLE_COST,
        HOURS,
    ),
    (
        "a first sample is not most of a quarter of an hour",
        "GoodwattGpuThrottled",
        {f'goodwatt_gpu_throttled{{{G}, reason="hw_slowdown"}}': Gauge((5, None), (2, 1), (20, 0))},
        6,
    ),
    (
        "half an hour after the start a rate over the hour is half of the mean, and both are right",
        "GoodwattEnergyDisagreement",
        gpu_energy(((120, 500),), shown=500),
        35,
    ),
    (
        "of a gap the rate has nothing, and the mean power knows nothing",
        "GoodwattEnergyDisagreement",
        gpu_energy(((240, 500),), shown=500)
        | {
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Gap(Counter((100, 30_000)), 20, Counter((120, 30_000))),
            f"goodwatt_gpu_power_watts{{{G}}}": Gauge((100, 500), (20, None), (120, 500)),
        },
        155,
    ),
    (
        "integrated energy is the sensor's own and cannot disagree with it",
        "GoodwattEnergyDisagreement",
        gpu_energy(((300, 700),), shown=500, method="integrated"),
        290,
    ),
    (
        "where no server is configured all energy is unattributed, as it was meant",
        "GoodwattEnergyUnattributed",
        {
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter((300, 30_000)),
            f"goodwatt_gpu_unattributed_energy_joules_total{{{G}}}": Counter((300, 30_000)),
        },
        290,
    ),
    (
        "a GPU that uses nothing has no share that nobody claims",
        "GoodwattEnergyUnattributed",
        {
            f"goodwatt_server_up{{{S}}}": Gauge((300, 1)),
            f"goodwatt_gpu_energy_joules_total{{{G}}}": Counter((300, 0)),
            f"goodwatt_gpu_unattributed_energy_joules_total{{{G}}}": Counter((300, 0)),
        },
        290,
    ),
    (
        "a goodwatt that restarts counts its ticks anew and has not stalled",
        "GoodwattTickStalled",
        {f"goodwatt_ticks_total{{{I}}}": Gauge((20, 240), (1, 5), (1, 17), (1, 29), (20, 40))},
        24,
    ),
)


@pytest.mark.parametrize(("why", "alert", "series", "minute"), QUIET, ids=[why for why, *_ in QUIET])
def test_it_stays_quiet(why: str, alert: str, series: Series, minute: int, tmp_path: Path) -> None:
    """What looks like trouble and is none."""
    economic = alert in ("GoodwattEfficiencyRegression", "GoodwattIdleBurnsMoney", "GoodwattCostPerTokenAboveTarget")
    groups, step = (ECONOMY, 10) if economic else (MACHINES, 1)
    story = Story(alert, series, {minute: NOBODY}, groups=groups, step=step)
    complaints = story.complaints(tmp_path)
    assert not complaints, complaints


def test_targets_are_the_operator_s(tmp_path: Path) -> None:
    """What a configuration sets is compared with: an idle share of 100 % is fine with whoever allows 99.9 % of it."""
    series = energy((14 * HOURS, 1, 100)) | IDLE_COST
    moments = {13 * HOURS: NOBODY}
    allowed = replace(ALERTING, idle_ratio=0.995)
    groups = ECONOMY
    assert not Story("GoodwattIdleBurnsMoney", series, moments, allowed, groups, 10).complaints(tmp_path)
    assert Story("GoodwattIdleBurnsMoney", series, moments, ALERTING, groups, 10).complaints(tmp_path)
