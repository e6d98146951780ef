"""The files that come with goodwatt beside its code: Grafana dashboards, Prometheus rules and the runbooks.

A wheel holds them in goodwatt/shipped; a checkout, and so an editable install, has them in their own folders.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[1]


def dashboards() -> dict[str, Path]:
    """Grafana dashboards by their uid, such as `goodwatt-energy`, sorted; each file holds one as JSON."""
    return {file.stem: file for file in _found("dashboards", _CHECKOUT / "grafana" / "dashboards", "*.json")}


def rule_files() -> dict[str, Path]:
    """Prometheus rule files for the default SLOs by file name, sorted."""
    return {file.name: file for file in _found("rules", _CHECKOUT / "deploy" / "prometheus", "*.rules.yml")}


def runbooks() -> Path:
    """The Markdown page with a section per alert."""
    (file,) = _found("docs", _CHECKOUT / "docs", "runbooks.md")
    return file


def _found(installed: str, checkout: Path, pattern: str) -> list[Path]:
    folder = _PACKAGE / "shipped" / installed
    return sorted((folder if folder.is_dir() else checkout).glob(pattern))
