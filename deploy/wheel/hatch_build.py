"""Hatchling's hooks for the wheel and the sdist.

The build hook adds the dashboards, rules, runbooks and the commit id. The metadata hook makes the README's links
absolute, because relative links are dead on a package index.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PACKAGE = "goodwatt"
COMMIT = "commit.txt"  # goodwatt.version reads it
SHIPPED = (  # pattern in the repository, folder under goodwatt/shipped; goodwatt.shipped_files finds them
    ("grafana/dashboards/*.json", "dashboards"),
    ("deploy/prometheus/*.rules.yml", "rules"),
    ("docs/runbooks.md", "docs"),
)
_RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)([^)\s]+)\)")


class BuildHook(BuildHookInterface[BuilderConfig]):
    """Adds files to the wheel, and the commit to the sdist; an editable install reads the checkout instead."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend the files to include before the build."""
        if version == "editable":
            return
        root, included = Path(self.root), build_data["force_include"]
        if self.target_name == "wheel":
            included |= shipped_files(root)
        commit = commit_of(root)
        if commit is not None and not (root / "exporter" / PACKAGE / COMMIT).exists():  # an sdist brings its own
            self._folder = tempfile.TemporaryDirectory()
            file = Path(self._folder.name, COMMIT)
            file.write_text(f"{commit}\n", encoding="ascii")
            included[str(file)] = (
                f"{PACKAGE}/{COMMIT}" if self.target_name == "wheel" else f"exporter/{PACKAGE}/{COMMIT}"
            )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        """Remove the temporary file once the build has read it."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


class MetadataHook(MetadataHookInterface):
    """Sets the long description from the README."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme` from README.md, with absolute links."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        readme = with_absolute_links(text, metadata["urls"]["Repository"])
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def shipped_files(root: Path) -> dict[str, str]:
    """Path in the repository to path in the wheel. Raises FileNotFoundError when a pattern matches nothing."""
    found: dict[str, str] = {}
    for pattern, folder in SHIPPED:
        files = sorted(root.glob(pattern))
        if not files:
            raise FileNotFoundError(f"the wheel needs {pattern} in {root}")
        found |= {str(file): f"{PACKAGE}/shipped/{folder}/{file.name}" for file in files}
    return found


def commit_of(root: Path) -> str | None:
    """Return GOODWATT_COMMIT or the checked-out commit, `-dirty` with local changes; None if neither is known."""
    given = os.environ.get("GOODWATT_COMMIT", "")
    if given:
        return given[:7] if re.fullmatch(r"[0-9a-f]{7,64}", given) else None
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    command = [git, "-C", str(root), "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no outside input
    return described.stdout.strip() or None


def with_absolute_links(markdown: str, repository: str) -> str:
    """Point relative links to the files on `repository`'s main branch; pictures to their raw form."""

    def absolute(link: re.Match[str]) -> str:
        view = "raw" if link[1].endswith((".png", ".svg")) else "blob"
        return f"]({repository}/{view}/main/{link[1]})"

    return _RELATIVE_LINK.sub(absolute, markdown)
