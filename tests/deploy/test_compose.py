"""deploy/compose and deploy/prometheus as files."""

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
    """Images have a version, ports are open to this machine only, and every mounted file is in the repository."""
    if "image" in service:
        tag = service["image"].rpartition(":")[2]
        assert tag[:1].isdigit() or tag.startswith("v"), f"{file}: {name}: {service['image']}"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    missing = [str(path) for path in mounts(service).values() if not path.exists()]
    assert not missing


def test_goodwatt_runs_without_rights() -> None:
    """The service has a read-only root and no capability, and its image is that of this version."""
    goodwatt = services()["goodwatt"]
    assert goodwatt["image"] == f"goodwatt:{__version__}"
    assert goodwatt["read_only"] and goodwatt["cap_drop"] == ["ALL"]
    assert (FOLDER / goodwatt["build"]["context"] / goodwatt["build"]["dockerfile"]).is_file()


def test_prometheus_accepts_its_file_and_the_rules() -> None:
    """promtool finds the configuration right, with whatever rule files lie beside it."""
    said = ran("promtool", "check", "config", PROMETHEUS)
    assert "SUCCESS" in said
    assert said.count(" rules found") == len(rule_files())


def test_prometheus_reads_goodwatt_and_tells_alertmanager() -> None:
    """It asks for services of compose, by the ports that these open."""
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    asked = [*configuration["scrape_configs"], *configuration["alerting"]["alertmanagers"]]
    targets = [target for one in asked for group in one["static_configs"] for target in group["targets"]]
    ports = {name: service["ports"][0].rpartition(":")[2] for name, service in services().items()}
    assert targets == [f"{name}:{ports[name]}" for name in ("goodwatt", "alertmanager")]


def test_alertmanager_accepts_its_file() -> None:
    """amtool finds it right, and pages go another way than the rest."""
    file = FOLDER / "alertmanager.yml"
    ran("amtool", "check-config", file)
    route = ("amtool", "config", "routes", "test", f"--config.file={file}")
    assert ran(*route, "severity=page").split()[-1] == "page"
    assert ran(*route, "severity=ticket").split()[-1] == "shown"


def test_tickets_are_silent_as_the_docs_say() -> None:
    """The inhibition is the one that docs/alerts.md shows."""
    shown = (ROOT / "docs" / "alerts.md").read_text().split("```yaml\n# alertmanager.yml")[1].split("```")[0]
    configured = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    assert configured["inhibit_rules"] == yaml.safe_load("#" + shown)["inhibit_rules"]


def test_grafana_gets_its_source_and_every_dashboard() -> None:
    """The provisioned source is the Prometheus of compose, and the provider's folder holds the dashboards."""
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


def test_real_servers_are_read_by_their_name_in_compose() -> None:
    """The configuration for real GPUs is valid, and its server is the service that compose starts."""
    goodwatt = services(GPU)["goodwatt"]
    config = load(mounts(goodwatt)[goodwatt["command"][-1]])
    assert config.servers is not None
    (server,) = config.servers
    port = services(GPU)["vllm"]["ports"][0].rpartition(":")[2]
    assert server.url == f"http://vllm:{port}"


def test_the_commented_example_is_valid() -> None:
    """deploy/goodwatt.yaml is accepted as it stands."""
    assert load(DEPLOY / "goodwatt.yaml").servers
