"""The door for an alert: one function in rules/, its stories and its runbook section."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doors.package_copy import changed_files, copy_of_package

TUPLE = "HEALTH_ALERTS = ("
ALERT = '''def toy_queue(alerting: Alerting) -> Iterator[AlertRule]:
    """Fires when requests wait for an hour."""
    yield AlertRule(
        "GoodwattToyQueue",
        TICKET,
        "goodwatt_requests_waiting > 0",
        "Requests wait on {{ $labels.server }}",
        "They have waited for an hour.",
        alerting.runbook_url,
        scaled_duration(60 * MINUTE, alerting),
    )


'''
CONFIG = "alerts: {disabled: [GoodwattToyQueue]}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with one more alert."""
    copy = copy_of_package(tmp_path)
    module = copy / "goodwatt" / "rules" / "health_alerts.py"
    text = module.read_text()
    assert text.count(TUPLE) == 1
    module.write_text(text.replace(TUPLE, ALERT + TUPLE + "toy_queue, "))
    return copy


def goodwatt(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-B", "-m", "goodwatt", *arguments]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def alerts(tree: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """Return the alerts that `goodwatt rules` prints, by name."""
    done = goodwatt(tree, "rules", "--kind", "alerts", *arguments)
    assert done.returncode == 0, done.stderr
    rules = [rule for group in yaml.safe_load(done.stdout)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_one_function_is_an_alert(tree: Path, tmp_path: Path) -> None:
    """`goodwatt rules` prints it with a link to its runbook section, and `alerts.disabled` accepts its name."""
    assert changed_files(tree) == ["rules/health_alerts.py"]
    printed = alerts(tree)["GoodwattToyQueue"]
    assert (printed["expr"], printed["for"]) == ("goodwatt_requests_waiting > 0", "1h")
    assert printed["annotations"]["runbook_url"] == "docs/runbooks.md#goodwatttoyqueue"
    config = tmp_path / "goodwatt.yaml"
    config.write_text(CONFIG)
    assert goodwatt(tree, "check", "--config", str(config)).returncode == 0
    assert "GoodwattToyQueue" not in alerts(tree, "--config", str(config))
    config.write_text(CONFIG.replace("ToyQueue", "ToyQueu"))
    refused = goodwatt(tree, "check", "--config", str(config))
    assert refused.returncode == 2
    assert "did you mean 'GoodwattToyQueue'?" in refused.stderr
