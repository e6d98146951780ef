"""SLO panels for servers with request records but no latency histograms, under promtool."""

from pathlib import Path

from grafana.queries import good_share
from tests.grafana.expressions import asked, filled
from tests.rules.promtool import Counter, Gap, Gauge, Scene, Series

J = 'job="j", instance="i"'
O = f'{J}, server="s", model="m", slo="a", method="exact"'  # noqa: E741 - an objective
RECORDS: Series = {
    f'goodwatt_slo_objective_ratio{{{J}, slo="a"}}': Gauge((90, 0.9)),
    f"goodwatt_slo_requests_total{{{O}}}": Counter((90, 1000)),
    f'goodwatt_slo_good_requests_total{{{O}, bound="exact"}}': Counter((90, 950)),
}
CHOSEN = {"job": ".+", "instance": ".+", "server": ".+", "model": ".*", "slo": "a"}
CLOCK = {"__rate_interval": "5m", "__range": "1h"}
BURN = "Burn rate, certain", "Burn rate, possible", "Burn rate, last hour"


def test_budgets_and_burn_rates_work_with_records_alone(tmp_path: Path) -> None:
    """With half of the allowed bad requests, budget left and burn rate are 0.5 without a histogram."""
    panels = (*BURN, "Error budget left")
    found = [one.query for one in asked() if one.board.uid == "goodwatt-goodput" and one.panel.title in panels]
    expected = {(f"round({filled(query.expression, CHOSEN | CLOCK)}, 0.001)", 80): {"{}": 0.5} for query in found}
    assert len(expected) >= 2 + 2 * 4  # the budget's, and a burn rate for each bound and window
    assert not Scene(RECORDS).sample_complaints(tmp_path, expected)


def test_bounds_after_a_gap_are_charged_for_what_was_in_flight(tmp_path: Path) -> None:
    """Where the gauge is missing at the start of the range, its maximum in the range is subtracted."""
    of = f'{J}, server="s", model="m", slo="a"'
    counter = Gap(Counter((10, 60)), 10, Counter((40, 60)))
    series: Series = {
        f'goodwatt_slo_requests_total{{{of}, method="histogram"}}': counter,
        f'goodwatt_slo_good_requests_total{{{of}, method="histogram", bound="lower"}}': counter,
        f"goodwatt_slo_possibly_bad_in_flight{{{of}}}": Gauge((10, 0), (10, None), (40, 30)),
    }
    query = f"round({filled(good_share('lower'), CHOSEN | CLOCK)}, 0.001)"
    assert not Scene(series).sample_complaints(tmp_path, {(query, 22): {"{}": (120 - 30) / 120}})
