"""SLO panels for servers with request records but no latency histograms, under promtool."""

from pathlib import Path

from tests.grafana.expressions import asked, filled
from tests.rules.promtool import Counter, Gauge, Scene, Series

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
