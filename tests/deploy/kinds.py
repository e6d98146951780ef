"""Validates Kubernetes objects against strict schemas: unknown fields are errors, as for an API server."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CRDS = Path(__file__).parent / "crds"
OLDEST, DRA = "1.33", "1.34"  # Kubernetes versions of the core schemas; DRA where resource claims are used


def objects(text: str) -> list[dict[str, Any]]:
    """Parse a YAML text with one object per document."""
    return [found for found in yaml.safe_load_all(text) if found]


def validate(found: dict[str, Any], version: str = OLDEST) -> None:
    """Raise a validation error for a field that is unknown, missing or of the wrong type."""
    if found["apiVersion"].startswith("monitoring.coreos.com/"):
        jsonschema.Draft7Validator(_monitoring()[found["kind"]]).validate(found)
    else:
        kubernetes_validate.validate(found, version, strict=True)


@cache
def _monitoring() -> dict[str, dict[str, Any]]:
    """Load strict schemas of Prometheus Operator's kinds, by kind."""
    definitions = [yaml.safe_load(file.read_text())["spec"] for file in CRDS.glob("*.yaml")]
    return {
        definition["names"]["kind"]: _strict(version["schema"]["openAPIV3Schema"])
        for definition in definitions
        for version in definition["versions"]
        if version["name"] == "v1"
    }


def _strict(schema: Any) -> Any:
    """Forbid unnamed properties in every object schema that does not mention additional ones."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


def containers(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return every container of a workload, init containers first."""
    pod = found["spec"]["template"]["spec"]
    yield from (*pod.get("initContainers", ()), *pod["containers"])
