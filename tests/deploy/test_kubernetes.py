"""deploy/kubernetes: valid for an API server and the restricted policy, and its parts match each other."""

import json
import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes import generate
from goodwatt import __version__
from goodwatt.commands.flags import DEFAULT_PORT
from goodwatt.config.load import parse
from goodwatt.publish.http import HEALTHY
from tests.deploy.kinds import DRA, OLDEST, containers, objects, validate
from tests.deploy.needed import DEPLOY, ROOT, ran, rule_files

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATIONS = (
    FOLDER,
    FOLDER / "sidecar",
    FOLDER / "sidecar-dra",
    FOLDER / "monitoring",
    ROOT / "grafana/dashboards",
)
FILES = sorted(file for file in FOLDER.glob("*/*.yaml") if file.name != "kustomization.yaml")
# kubectl apply stores the whole object in an annotation, whose size is limited.
APPLY_LIMIT_BYTES = 262144


def only(kind: str) -> dict[str, Any]:
    (found,) = [one for file in FILES for one in objects(file.read_text()) if one["kind"] == kind]
    return found


def sidecar() -> dict[str, Any]:
    return next(container for container in containers(only("Deployment")) if container["name"] == "goodwatt")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_cluster_accepts_every_object(file: Any) -> None:
    """Each object is valid for its kind without unknown fields, core kinds in the oldest supported version."""
    for found in objects(file.read_text()):
        validate(found, DRA if file.parent.name == "sidecar-dra" else OLDEST)


def test_the_validation_can_fail() -> None:
    """An unknown field is an error, both in Prometheus Operator's kinds and in core kinds."""
    for kind, error in (
        ("PodMonitor", jsonschema.ValidationError),
        ("Deployment", kubernetes_validate.ValidationError),
    ):
        found = only(kind)
        found["spec"]["selector"]["matchLabel"] = {}
        with pytest.raises(error):
            validate(found)


def test_goodwatt_is_a_native_sidecar() -> None:
    """It is an init container with restartPolicy Always, and neither vLLM's start nor its traffic depends on it."""
    pod = only("Deployment")["spec"]["template"]["spec"]
    (goodwatt,) = pod["initContainers"]
    assert goodwatt["restartPolicy"] == "Always"
    assert "startupProbe" not in goodwatt  # it would delay vLLM's start
    assert "readinessProbe" not in goodwatt  # it would stop the pod's traffic while goodwatt hangs


def test_it_runs_without_privileges() -> None:
    """It meets the restricted Pod Security Standard, with a read-only root filesystem."""
    context = sidecar()["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0
    assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(name.startswith("nvidia.com") for name in sidecar()["resources"].get("limits", ()))
    assert f"USER {context['runAsUser']}:" in (DEPLOY / "docker/Dockerfile").read_text()


def test_probes_and_ports_are_goodwatt_s_own() -> None:
    """The probes' path and port are those that goodwatt serves."""
    goodwatt = sidecar()
    (port,) = goodwatt["ports"]
    assert port == {"name": "goodwatt", "containerPort": DEFAULT_PORT}
    assert goodwatt["livenessProbe"]["httpGet"] == {"path": HEALTHY, "port": port["name"]}


def test_its_configuration_names_the_vllm_container() -> None:
    """The ConfigMap's file is valid and mounted at the path of --config, and its server is vLLM's port."""
    (name,) = only("ConfigMap")["data"]
    config = parse(only("ConfigMap")["data"][name], name)
    goodwatt = sidecar()
    (mount,) = goodwatt["volumeMounts"]
    assert f"{mount['mountPath']}/{name}" in goodwatt["args"]
    (vllm,) = [container for container in containers(only("Deployment")) if container["name"] == "vllm"]
    assert config.servers is not None
    assert config.servers[0].url == f"http://127.0.0.1:{vllm['ports'][0]['containerPort']}"


def test_the_monitor_and_the_service_find_the_pods() -> None:
    """Both select the pods' labels, and every port they name exists on a container."""
    template = only("Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    ports = {port["name"] for container in containers(only("Deployment")) for port in container["ports"]}
    monitor, service = only("PodMonitor")["spec"], only("Service")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= labels
    assert service["selector"].items() <= labels
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} == ports
    assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_rules_are_those_of_prometheus() -> None:
    """The PrometheusRule is what `make docs` generates from the rule files."""
    assert generate.FILE.read_text() == generate.rendered()


def test_both_rule_files_are_shipped() -> None:
    """The recording rules and the alerts are next to prometheus.yml, and both have groups."""
    names = {"goodwatt-recording.rules.yml", "goodwatt-alerts.rules.yml"}
    assert {file.name for file in rule_files()} == names
    assert all(yaml.safe_load(file.read_text())["groups"] for file in rule_files())


@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_a_kustomization_lists_every_file(folder: Any) -> None:
    """Every file in its folder is listed, and every listed file exists."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = {
        *kustomization.get("resources", ()),
        *(file for made in kustomization.get("configMapGenerator", ()) for file in made["files"]),
    }
    beside = {file.name for pattern in ("*.yaml", "*.json") for file in folder.glob(pattern)} - {"kustomization.yaml"}
    assert beside <= listed
    assert all((folder / name).exists() for name in listed)


def test_images_are_of_this_version() -> None:
    """Every kustomization sets goodwatt's image to this version."""
    for folder in (FOLDER, FOLDER / "sidecar-dra"):
        (image,) = yaml.safe_load((folder / "kustomization.yaml").read_text())["images"]
        assert (image["name"], image["newTag"]) == (sidecar()["image"], __version__)


@pytest.mark.deploy
@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_kubectl_builds_it(folder: Any) -> None:
    """`kubectl kustomize` builds valid objects, small enough for `kubectl apply`."""
    built = objects(ran("kubectl", "kustomize", folder))
    assert built
    for found in built:
        validate(found, DRA)
        assert len(json.dumps(found)) < APPLY_LIMIT_BYTES, found["metadata"]["name"]


@pytest.mark.deploy
def test_dashboards_become_labelled_config_maps() -> None:
    """Each dashboard has its own ConfigMap, unchanged, with the label that Grafana's sidecar selects."""
    built = [found for found in objects(ran("kubectl", "kustomize", FOLDER)) if found["kind"] == "ConfigMap"]
    boards = [found for found in built if found["metadata"]["labels"].get("grafana_dashboard") == "1"]
    held = {name: text for found in boards for name, text in found["data"].items()}
    assert held == {file.name: file.read_text() for file in (ROOT / "grafana/dashboards").glob("*.json")}
    assert len(boards) == len(held)


@pytest.mark.deploy
def test_one_claim_serves_both_containers() -> None:
    """With dynamic resource allocation, vLLM and goodwatt share one claim, and nothing else requests GPUs."""
    built = objects(ran("kubectl", "kustomize", FOLDER / "sidecar-dra"))
    (deployment,) = [found for found in built if found["kind"] == "Deployment"]
    (template,) = [found for found in built if found["kind"] == "ResourceClaimTemplate"]
    pod = deployment["spec"]["template"]["spec"]
    (claim,) = pod["resourceClaims"]
    assert claim["resourceClaimTemplateName"] == template["metadata"]["name"]
    assert all(container["resources"]["claims"] == [{"name": claim["name"]}] for container in containers(deployment))
    assert not re.search(r"nvidia\.com/gpu|NVIDIA_|runtimeClassName", json.dumps(pod))
