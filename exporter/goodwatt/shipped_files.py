"""Finds the Grafana dashboards, Prometheus rules and runbooks that are distributed with goodwatt.

A wheel has them in goodwatt/shipped. A checkout, which an editable install uses too, has them in their source folders.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[1]


def dashboards() -> dict[str, Path]:
    """Map each dashboard's uid, such as `goodwatt-energy`, to its JSON file, sorted by uid."""
    return {file.stem: file for file in _found("dashboards", _CHECKOUT / "grafana" / "dashboards", "*.json")}


def rule_files() -> dict[str, Path]:
    """Map file names to the Prometheus rule files for the default SLOs, sorted by name."""
    return {file.name: file for file in _found("rules", _CHECKOUT / "deploy" / "prometheus", "*.rules.yml")}


def runbooks() -> Path:
    """Return the Markdown file with one section per alert."""
    (file,) = _found("docs", _CHECKOUT / "docs", "runbooks.md")
    return file


def _found(installed: str, checkout: Path, pattern: str) -> list[Path]:
    folder = _PACKAGE / "shipped" / installed
    return sorted((folder if folder.is_dir() else checkout).glob(pattern))
