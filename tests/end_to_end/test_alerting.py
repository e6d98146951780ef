"""From a fault to its notification: demo, real Prometheus with our rules, real Alertmanager, webhook."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from goodwatt.config.load import parse
from goodwatt.config.plan import alerting
from goodwatt.model.alerting import Alerting
from goodwatt.rules import rules_text
from tests.end_to_end.programs import Prometheus, alertmanager, get, goodwatt, prometheus, until
from tests.fakes.webhook import Webhook, webhook

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
SCALE = 1 / 75  # an hour is 48 s, five minutes are 4 s
CONFIG = """\
cost: {price_per_gpu_hour: 1.69}
interval_seconds: 1
window_seconds: 3
slos:
  - {name: fluent, tpot_seconds: 0.05, objective_ratio: 0.95}
"""
ROUTING = """\
route: {{receiver: webhook, group_by: [alertname, server, model], group_wait: 0s, group_interval: 1s}}
receivers: [{{name: webhook, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""
BURN = {"alertname": "GoodwattSloBudgetBurn", "severity": "page", "slo": "fluent", "long_window": "48s"}
DOWN = {"alertname": "GoodwattServerDown", "severity": "page", "server": "batch"}


def test_a_fault_is_notified_and_resolved(tmp_path: Path) -> None:
    """A slow server and a dead one each fire an alert that reaches the webhook, and both resolve.

    The other server's objective stays quiet, and the documented inhibition silences no page.
    """
    rules = tmp_path / "rules.yml"
    rules.write_text(rules_text(_alerting(), "all"))
    faults = ("--fault", "slow:chat@20+70", "--fault", "down:batch@20+20")
    with (
        webhook() as heard,
        alertmanager(tmp_path, ROUTING.format(url=heard.url) + _documented_inhibition()) as address,
        goodwatt(tmp_path, "demo", *faults, config=CONFIG) as demo,
        prometheus(tmp_path, demo.url.removeprefix("http://"), _prometheus_config(rules, address)) as server,
    ):
        for status in ("firing", "resolved"):
            _await_notification(heard, status, DOWN)
            _await_notification(heard, status, BURN)
        _check_rules(server)
    burn = heard.received("firing", **BURN)[0]
    assert burn["labels"]["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert burn["annotations"]["summary"].startswith("meta-llama/Llama-3.1-8B-Instruct: the error budget of SLO fluent")
    assert burn["annotations"]["runbook_url"] == "docs/runbooks.md#goodwattslobudgetburn"
    assert not heard.received("firing", alertname="GoodwattSloBudgetBurn", model="openai/gpt-oss-20b")


def _check_rules(server: Prometheus) -> None:
    """Check that every rule evaluates without error and the headline figures are recorded at every level."""
    groups = json.loads(get(f"{server.url}/api/v1/rules")[1])["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    for level in ("server_model", "model", "fleet"):
        for metric in ("tokens_per_joule", "cost_per_million_tokens", "goodput", "idle_energy"):
            _await_record(server, f"{level}:goodwatt_{metric}:ratio_rate4s")
        for metric in ("cost_per_hour", "generated_tokens"):
            _await_record(server, f"{level}:goodwatt_{metric}:rate4s")


def _await_record(server: Prometheus, name: str) -> None:
    """A window of 4 s may miss a scrape on a busy machine, so wait for the next evaluation."""
    until(lambda: server.query(name) or None, seconds=30, why=lambda: name)


def _alerting() -> Alerting:
    return replace(alerting(parse(CONFIG)), scale=SCALE)


def _prometheus_config(rules: Path, address: str) -> str:
    managers = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
    return yaml.safe_dump({"rule_files": [str(rules)], "alerting": managers})


def _documented_inhibition() -> str:
    text = (ROOT / "docs" / "alerts.md").read_text().split("```yaml\n# alertmanager.yml")[1].split("```")[0]
    return "#" + text


def _await_notification(heard: Webhook, status: str, labels: dict[str, str]) -> None:
    seen = sorted({(one["status"], one["labels"]["alertname"]) for one in heard.alerts})
    until(
        lambda: heard.received(status, **labels) or None, seconds=90, why=lambda: f"{status} {labels}; so far: {seen}"
    )
