"""Reads the compose files."""

from pathlib import Path
from typing import Any

import yaml

from tests.deploy.needed import DEPLOY

FOLDER = DEPLOY / "compose"
MAIN, GPU = FOLDER / "compose.yaml", FOLDER / "compose.gpu.yaml"


def services(file: Path = MAIN) -> dict[str, dict[str, Any]]:
    """Return the services of a compose file by name."""
    return dict(yaml.safe_load(file.read_text())["services"])


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Map mount points of a service to the files and folders of this repository."""
    pairs = [volume.split(":")[:2] for volume in service.get("volumes", ())]
    return {inside: (FOLDER / outside).resolve() for outside, inside in pairs if outside.startswith(".")}


def command(service: dict[str, Any], where: dict[str, Path]) -> list[str]:
    """Return a service's command, with each mount point replaced by its path on this machine from `where`."""
    words = [str(word) for word in service["command"]]
    for inside in sorted(where, key=len, reverse=True):
        words = [word.replace(inside, str(where[inside])) for word in words]
    return words
