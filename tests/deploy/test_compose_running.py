"""The files of deploy/compose at work: goodwatt's demo, Prometheus and Alertmanager, by the names of their services.

They run in a network namespace, from Debian's packages, with the commands of compose.yaml and the files as they stand.
So the versions are Debian's and not those of the images, and Grafana is left out.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.compose import command, mounts, services
from tests.deploy.needed import program, rule_files
from tests.deploy.network import Network, network
from tests.end_to_end.programs import until

pytestmark = pytest.mark.deploy

# The one rule that is not shipped: an alert that fires as soon as goodwatt is scraped.
SEEN = """\
groups:
  - name: test
    rules: [{alert: GoodwattSeen, expr: 'up{job="goodwatt"} == 1', labels: {severity: page}}]
"""


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("compose")
    with network(folder, list(services())) as made:
        for name, executable in (
            ("alertmanager", [program("prometheus-alertmanager")]),
            ("prometheus", [program("prometheus")]),
            ("goodwatt", [sys.executable, "-m", "goodwatt"]),
        ):
            made.start(name, [*executable, *command(services()[name], _places(folder, name))])
        until(lambda: "goodwatt_build_info" in made.get("http://goodwatt:17077/metrics"), seconds=60, why=made.logged)
        yield made


def _places(folder: Path, name: str) -> dict[str, Path]:
    """Map mount points to files: those of the repository, the rules plus one, and a fresh volume."""
    places = mounts(services()[name])
    if name == "prometheus":
        copy = folder / "etc-prometheus"
        shutil.copytree(places["/etc/prometheus"], copy)
        (copy / "test.rules.yml").write_text(SEEN)
        places["/etc/prometheus"] = copy
    return {**places, f"=/{name}": Path(f"={folder / name}")}


def asked(made: Network, url: str) -> Any:
    return json.loads(made.get(url))


def test_prometheus_sees_goodwatt(composed: Network) -> None:
    """The target `goodwatt:17077` is up, and its tokens are in Prometheus."""
    query = "http://prometheus:9090/api/v1/query?query=sum(goodwatt_generated_tokens_total)"
    until(lambda: asked(composed, query)["data"]["result"] or None, seconds=90, why=composed.logged)
    (target,) = asked(composed, "http://prometheus:9090/api/v1/targets")["data"]["activeTargets"]
    assert (target["scrapeUrl"], target["health"]) == ("http://goodwatt:17077/metrics", "up")


def test_every_shipped_rule_is_loaded_and_evaluates(composed: Network) -> None:
    """Prometheus has loaded every group of every shipped file, and no rule fails."""
    shipped = {group["name"] for file in rule_files() for group in yaml.safe_load(file.read_text())["groups"]}
    url = "http://prometheus:9090/api/v1/rules"

    def evaluated() -> list[Any] | None:
        groups = asked(composed, url)["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return groups if rules and all(rule["health"] != "unknown" for rule in rules) else None

    groups = until(evaluated, seconds=120, why=composed.logged)
    assert {group["name"] for group in groups} == shipped | {"test"}
    assert not [rule for group in groups for rule in group["rules"] if rule["health"] != "ok"]


def test_an_alert_reaches_alertmanager(composed: Network) -> None:
    """An alert that fires in Prometheus reaches Alertmanager and is routed to the receiver for pages."""

    def shown() -> list[Any] | None:
        alerts = asked(composed, "http://alertmanager:9093/api/v2/alerts")
        return [alert for alert in alerts if alert["labels"]["alertname"] == "GoodwattSeen"] or None

    (alert,) = until(shown, seconds=120, why=composed.logged)
    assert alert["labels"]["instance"] == "goodwatt:17077"
    assert [receiver["name"] for receiver in alert["receivers"]] == ["page"]
