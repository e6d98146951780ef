"""Recording rules under promtool: ratios of sums at three levels, and no sample for unknown figures."""

from pathlib import Path

from goodwatt.model.alerting import Alerting
from goodwatt.rules import rule_groups
from tests.rules.promtool import Counter, Gap, Gauge, Scene, Series

GROUPS = tuple(group["name"] for group in rule_groups(Alerting(), "recording"))
LENGTH = 40
NOW = 30


def account(server: str, model: str, more: str = "", instance: str = "i") -> str:
    return f'{{job="j", instance="{instance}", server="{server}", model="{model}"{more}}}'


def work(server: str, model: str, tokens: float, busy: float, idle: float, *, instance: str = "i") -> Series:
    """Return series of a server; the figures are per second."""
    return {
        f'goodwatt_server_up{{job="j", instance="{instance}", server="{server}"}}': Gauge((LENGTH, 1)),
        "goodwatt_generated_tokens_total" + account(server, model, instance=instance): Counter((LENGTH, 60 * tokens)),
        "goodwatt_energy_joules_total" + account(server, model, ', state="busy"', instance): Counter(
            (LENGTH, 60 * busy)
        ),
        "goodwatt_energy_joules_total" + account(server, model, ', state="idle"', instance): Counter(
            (LENGTH, 60 * idle)
        ),
        "goodwatt_cost_total" + account(server, model, ', component="rent", currency="USD"', instance): Counter(
            (LENGTH, 60 * 0.001)
        ),
    }


def check(tmp_path: Path, series: Series, expected: dict[str, dict[str, float]]) -> None:
    scene = Scene(series, Alerting(), GROUPS)
    asked = {(f"round({name}, 1e-6)", NOW): found for name, found in expected.items()}
    complaints = scene.sample_complaints(tmp_path, asked)
    assert not complaints, complaints


FLEET = {
    **work("s1", "m1", 1000, 400, 100),
    **work("s2", "m1", 100, 100, 400),
    **work("s3", "m2", 500, 250, 0, instance="k"),
}


def test_ratios_are_of_sums_at_every_level(tmp_path: Path) -> None:
    """1000 and 100 tokens per second at 500 W each are 1.1 tokens per joule of a model; the fleet has 1600 on 1250."""
    kind = 'job="j", kind="generated"'
    check(
        tmp_path,
        FLEET,
        {
            "server_model:goodwatt_tokens_per_joule:ratio_rate5m": {
                f'{{{kind}, server="s1", model="m1"}}': 2.0,
                f'{{{kind}, server="s2", model="m1"}}': 0.2,
                f'{{{kind}, server="s3", model="m2"}}': 2.0,
            },
            "model:goodwatt_tokens_per_joule:ratio_rate5m": {
                f'{{{kind}, model="m1"}}': 1.1,
                f'{{{kind}, model="m2"}}': 2.0,
            },
            "fleet:goodwatt_tokens_per_joule:ratio_rate5m": {f"{{{kind}}}": 1.28},
            "model:goodwatt_idle_energy:ratio_rate5m": {'{job="j", model="m1"}': 0.5, '{job="j", model="m2"}': 0.0},
            "fleet:goodwatt_energy_joules:rate5m": {'{job="j"}': 1250.0},
            "fleet:goodwatt_cost_per_hour:rate5m": {'{job="j", currency="USD"}': 10.8},
            "fleet:goodwatt_cost_per_million_tokens:ratio_rate5m": {f'{{{kind}, currency="USD"}}': 1.875},
        },
    )


def test_cost_per_token_is_per_currency(tmp_path: Path) -> None:
    """A server paid in another currency does not affect the price, and cost is known even without energy."""
    series = {
        **work("s1", "m", 1000, 500, 0),
        'goodwatt_server_up{job="j", instance="i", server="s2"}': Gauge((LENGTH, 1)),
        "goodwatt_generated_tokens_total" + account("s2", "m"): Counter((LENGTH, 60 * 4000)),
        "goodwatt_cost_total" + account("s2", "m", ', component="rent", currency="EUR"'): Counter((LENGTH, 60 * 0.002)),
    }
    kind = 'job="j", kind="generated"'
    prices = {f'{{{kind}, currency="USD"}}': 1.0, f'{{{kind}, currency="EUR"}}': 0.5}
    check(tmp_path, series, {"fleet:goodwatt_cost_per_million_tokens:ratio_rate5m": prices})


def test_unknown_figures_have_no_sample(tmp_path: Path) -> None:
    """Without tokens, energy or prices the ratio or amount is absent, not 0, NaN or infinite."""
    series = work("idle", "m", 0, 0, 100)
    series = {name: values for name, values in series.items() if "cost" not in name}
    series |= {
        'goodwatt_server_up{job="j", instance="i", server="dark"}': Gauge((LENGTH, 1)),
        "goodwatt_generated_tokens_total" + account("dark", "n"): Counter((LENGTH, 60)),
        "goodwatt_slo_requests_total" + account("idle", "m", ', slo="a", method="histogram"'): Counter((LENGTH, 0)),
        "goodwatt_slo_good_requests_total"
        + account("idle", "m", ', slo="a", method="histogram", bound="lower"'): Counter((LENGTH, 0)),
    }
    absent = ("tokens_per_joule", "cost_per_million_tokens", "goodput")
    names = [f"{level}:goodwatt_{name}:ratio_rate5m" for level in ("server_model", "model", "fleet") for name in absent]
    names += ["fleet:goodwatt_cost_per_hour:rate5m", "fleet:goodwatt_margin_per_hour:rate5m"]
    check(
        tmp_path, series, {name: {} for name in names} | {"fleet:goodwatt_idle_energy:ratio_rate5m": {'{job="j"}': 1.0}}
    )


def test_ratios_leave_out_a_server_after_an_outage(tmp_path: Path) -> None:
    """After an outage the missed tokens are counted but the energy is not, so ratios exclude the server for a while."""
    down = {'goodwatt_server_up{job="j", instance="i", server="s2"}': Gauge((28, 1), (1, 0), (11, 1))}
    kind = 'job="j", kind="generated"'
    name = "tokens_per_joule:ratio_rate5m"
    check(
        tmp_path,
        FLEET | down,
        {
            f"model:goodwatt_{name}": {f'{{{kind}, model="m1"}}': 2.0, f'{{{kind}, model="m2"}}': 2.0},
            f"fleet:goodwatt_{name}": {f"{{{kind}}}": 2.0},
            "fleet:goodwatt_generated_tokens:rate5m": {'{job="j"}': 1600.0},
        },
    )


def test_goodput_by_bound_and_method(tmp_path: Path) -> None:
    """Bounds are summed over servers and divided by the same method's requests; methods are never summed."""
    series: dict[str, Counter | Gauge] = {}
    for server, lower in (("s1", 30), ("s2", 60)):
        for method, bounds in (("histogram", {"lower": lower, "upper": 60}), ("exact", {"exact": 45})):
            how = f', slo="a", method="{method}"'
            series["goodwatt_slo_requests_total" + account(server, "m", how)] = Counter((LENGTH, 60))
            for bound, good in bounds.items():
                name = "goodwatt_slo_good_requests_total" + account(server, "m", how + f', bound="{bound}"')
                series[name] = Counter((LENGTH, good))
    labels = 'job="j", model="m", slo="a"'
    check(
        tmp_path,
        series,
        {
            "model:goodwatt_goodput:ratio_rate5m": {
                f'{{{labels}, method="histogram", bound="lower"}}': 0.75,
                f'{{{labels}, method="histogram", bound="upper"}}': 1.0,
                f'{{{labels}, method="exact", bound="exact"}}': 0.75,
            }
        },
    )


def test_bounds_after_a_gap_are_charged_for_their_own_range(tmp_path: Path) -> None:
    """Where a window's first sample comes late, after a gap or a start, the charge is still what was in flight then."""
    of = account("s1", "m", ', slo="a"')
    counted = of.removesuffix("}") + ', method="histogram"'
    series: dict[str, Counter | Gauge | Gap] = {
        f"goodwatt_slo_requests_total{counted}}}": Gap(Counter((10, 60)), 10, Counter((LENGTH, 60))),
        "goodwatt_slo_possibly_bad_in_flight" + of: Gauge((10, 0), (10, None), (LENGTH, 30)),
        "goodwatt_slo_possibly_good_in_flight" + of: Gauge((10, 0), (10, None), (LENGTH, 15)),
    }
    for bound, good in (("lower", 60), ("upper", 30)):
        name = f'goodwatt_slo_good_requests_total{counted}, bound="{bound}"}}'
        series[name] = Gap(Counter((10, good)), 10, Counter((LENGTH, good)))
    labels = 'job="j", server="s1", model="m", slo="a", method="histogram"'
    shares = {f'{{{labels}, bound="lower"}}': (120 - 30) / 120, f'{{{labels}, bound="upper"}}': (60 + 15) / 120}
    scene = Scene(series, Alerting(), GROUPS)
    asked = {("round(server_model:goodwatt_goodput:ratio_rate5m, 1e-6)", 22): shares}
    complaints = scene.sample_complaints(tmp_path, asked)
    assert not complaints, complaints


def test_margin_carbon_and_unattributed_energy(tmp_path: Path) -> None:
    """Margin is revenue minus cost in one currency; the unattributed share is over the energy of all GPUs."""
    earned = ', kind="generated", currency="USD"'
    gpu = '{job="j", instance="i", gpu="0", uuid="G"}'
    series = FLEET | {
        "goodwatt_revenue_total" + account("s1", "m1", earned): Counter((LENGTH, 60 * 0.003)),
        "goodwatt_carbon_grams_total" + account("s1", "m1"): Counter((LENGTH, 60 * 0.01)),
        "goodwatt_gpu_energy_joules_total" + gpu: Counter((LENGTH, 60 * 1000)),
        "goodwatt_gpu_unattributed_energy_joules_total" + gpu: Counter((LENGTH, 60 * 250)),
    }
    check(
        tmp_path,
        series,
        {
            "server_model:goodwatt_margin_per_hour:rate5m": {'{job="j", server="s1", model="m1", currency="USD"}': 7.2},
            "fleet:goodwatt_carbon_grams_per_hour:rate5m": {'{job="j"}': 36.0},
            "fleet:goodwatt_gpu_unattributed_energy:ratio_rate5m": {'{job="j"}': 0.25},
        },
    )


def test_two_jobs_stay_apart(tmp_path: Path) -> None:
    """Every level keeps the label `job`."""
    other = {name.replace('job="j"', 'job="demo"'): values for name, values in work("s1", "m1", 10, 10, 0).items()}
    check(
        tmp_path,
        FLEET | other,
        {
            "fleet:goodwatt_tokens_per_joule:ratio_rate5m": {
                '{job="j", kind="generated"}': 1.28,
                '{job="demo", kind="generated"}': 1.0,
            }
        },
    )
