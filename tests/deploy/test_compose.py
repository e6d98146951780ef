"""deploy/compose and deploy/prometheus: valid, and consistent with each other and with goodwatt."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from goodwatt import __version__
from goodwatt.config.load import load
from tests.deploy.compose import FOLDER, GPU, MAIN, mounts, services
from tests.deploy.needed import DEPLOY, ROOT, ran, rule_files

PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"


@pytest.mark.parametrize("file", [MAIN, GPU], ids=lambda file: file.name)
def test_a_compose_file_follows_the_specification(file: Path) -> None:
    """The published schema of the Compose specification accepts it."""
    ran("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.parametrize(
    ("file", "name", "service"), [(file.name, *entry) for file in (MAIN, GPU) for entry in services(file).items()]
)
def test_a_service_is_pinned_and_local(file: str, name: str, service: dict[str, Any]) -> None:
    """Images have a version, ports listen on localhost only, and every mounted file exists in the repository."""
    if "image" in service:
        tag = service["image"].rpartition(":")[2]
        assert tag[:1].isdigit() or tag.startswith("v"), f"{file}: {name}: {service['image']}"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    missing = [str(path) for path in mounts(service).values() if not path.exists()]
    assert not missing


def test_goodwatt_runs_without_privileges() -> None:
    """The service has a read-only root, no capability and this version's image, built from the Dockerfile."""
    goodwatt = services()["goodwatt"]
    assert goodwatt["image"] == f"goodwatt:{__version__}"
    assert goodwatt["read_only"] and goodwatt["cap_drop"] == ["ALL"]
    assert (FOLDER / goodwatt["build"]["context"] / goodwatt["build"]["dockerfile"]).is_file()


def test_prometheus_accepts_its_file_and_the_rules() -> None:
    """promtool accepts the configuration and every rule file next to it."""
    report = ran("promtool", "check", "config", PROMETHEUS)
    assert "SUCCESS" in report
    assert report.count(" rules found") == len(rule_files())


def test_prometheus_scrapes_goodwatt_and_alerts_alertmanager() -> None:
    """Its targets are compose services, at the ports that these publish."""
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    configured = [*configuration["scrape_configs"], *configuration["alerting"]["alertmanagers"]]
    targets = [target for one in configured for group in one["static_configs"] for target in group["targets"]]
    ports = {name: service["ports"][0].rpartition(":")[2] for name, service in services().items()}
    assert targets == [f"{name}:{ports[name]}" for name in ("goodwatt", "alertmanager")]


def test_alertmanager_accepts_its_file() -> None:
    """amtool accepts it, and pages are routed to their own receiver."""
    file = FOLDER / "alertmanager.yml"
    ran("amtool", "check-config", file)
    route = ("amtool", "config", "routes", "test", f"--config.file={file}")
    assert ran(*route, "severity=page").split()[-1] == "page"
    assert ran(*route, "severity=ticket").split()[-1] == "shown"


def test_the_inhibition_is_the_documented_one() -> None:
    """The inhibit rules are those of docs/alerts.md."""
    shown = (ROOT / "docs" / "alerts.md").read_text().split("```yaml\n# alertmanager.yml")[1].split("```")[0]
    configured = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    assert configured["inhibit_rules"] == yaml.safe_load("#" + shown)["inhibit_rules"]


def test_grafana_gets_its_data_source_and_every_dashboard() -> None:
    """The provisioned data source is compose's Prometheus, and the provider's folder has every dashboard."""
    grafana = services()["grafana"]
    seen = mounts(grafana)
    source = yaml.safe_load((seen["/etc/grafana/provisioning/datasources"] / "prometheus.yaml").read_text())
    (prometheus,) = source["datasources"]
    assert prometheus["url"] == "http://prometheus:9090"
    interval = yaml.safe_load(PROMETHEUS.read_text())["global"]["scrape_interval"]
    assert prometheus["jsonData"]["timeInterval"] == interval
    provider = yaml.safe_load((seen["/etc/grafana/provisioning/dashboards"] / "goodwatt.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    boards = [json.loads(file.read_text()) for file in seen[folder].glob("*.json")]
    assert seen[folder] == ROOT / "grafana" / "dashboards" and boards
    kinds = {variable["query"] for board in boards for variable in board["templating"]["list"][:1]}
    assert kinds == {prometheus["type"]}
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (seen[folder] / Path(home).name).is_file() and home.startswith(folder)


def test_the_real_server_is_the_compose_service() -> None:
    """The configuration for real GPUs is valid, and its server is compose's vLLM."""
    goodwatt = services(GPU)["goodwatt"]
    config = load(mounts(goodwatt)[goodwatt["command"][-1]])
    assert config.servers is not None
    (server,) = config.servers
    port = services(GPU)["vllm"]["ports"][0].rpartition(":")[2]
    assert server.url == f"http://vllm:{port}"


def test_the_commented_example_is_valid() -> None:
    """deploy/goodwatt.yaml is a valid configuration."""
    assert load(DEPLOY / "goodwatt.yaml").servers
