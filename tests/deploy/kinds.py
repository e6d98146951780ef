"""What the Kubernetes API server would say of an object, as far as schemas tell: unknown fields are errors."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CRDS = Path(__file__).parent / "crds"
OLDEST, DRA = "1.33", "1.34"  # the versions that the core kinds are held against; the second where claims are used


def objects(text: str) -> list[dict[str, Any]]:
    """The documents of a YAML text."""
    return [found for found in yaml.safe_load_all(text) if found]


def validate(found: dict[str, Any], version: str = OLDEST) -> None:
    """Raises when a field is unknown, missing or of the wrong kind."""
    if found["apiVersion"].startswith("monitoring.coreos.com/"):
        jsonschema.Draft7Validator(_monitoring()[found["kind"]]).validate(found)
    else:
        kubernetes_validate.validate(found, version, strict=True)


@cache
def _monitoring() -> dict[str, dict[str, Any]]:
    """Strict schemas of the operator's kinds."""
    definitions = [yaml.safe_load(file.read_text())["spec"] for file in CRDS.glob("*.yaml")]
    return {
        definition["names"]["kind"]: _strict(version["schema"]["openAPIV3Schema"])
        for definition in definitions
        for version in definition["versions"]
        if version["name"] == "v1"
    }


def _strict(schema: Any) -> Any:
    """The same schema where an object may have the named properties alone, unless it says something of others."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def containers(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every container of a workload, the initial ones first."""
    pod = found["spec"]["template"]["spec"]
    yield from (*pod.get("initContainers", ()), *pod["containers"])
