"""Cost per token with servers paid in several currencies, under promtool."""

from pathlib import Path

from tests.grafana.expressions import asked, filled
from tests.rules.promtool import Counter, Scene, Series


def server(name: str, currency: str, tokens: float, money: float) -> Series:
    """Return series of a server; the figures are per minute."""
    account = f'job="j", instance="i", server="{name}", model="m"'
    return {
        f"goodwatt_generated_tokens_total{{{account}}}": Counter((90, tokens)),
        f'goodwatt_cost_total{{{account}, component="rent", currency="{currency}"}}': Counter((90, money)),
    }


PAID: Series = {**server("s", "USD", 1e6, 2), **server("t", "EUR", 4e6, 2)}
BOTH = {"instance_a": ".+", "instance_b": ".+", "server_a": ".+", "server_b": ".+", "model_a": ".*", "model_b": ".*"}
CHOSEN = {"job": ".+", "instance": ".+", "server": ".+", "model": ".*", "shift": "1ms", **BOTH}
CLOCK = {"__rate_interval": "5m", "__range": "1h"}
PRICES = {"Cost per million tokens", "Cost per million generated tokens"}


def test_cost_per_token_is_per_currency(tmp_path: Path) -> None:
    """2 USD for a million tokens stay 2 USD when another server's tokens were paid in EUR, on every dashboard."""
    found = {one.query.expression for one in asked() if one.panel.title in PRICES}
    found = {expression for expression in found if not expression.endswith(" - 1")}
    assert len(found) == 2 + 2 * 2  # Economics, and both sides of Compare: now, and over the time shown
    prices = {'{currency="USD"}': 2.0, '{currency="EUR"}': 0.5}
    expected = {
        (f"round(sum by (currency) ({filled(expression, CHOSEN | CLOCK)}), 0.001)", 80): prices for expression in found
    }
    assert not Scene(PAID, groups=("goodwatt-health",)).sample_complaints(tmp_path, expected)
