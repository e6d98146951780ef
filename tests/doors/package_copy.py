"""A copy of the package in which a door test adds its toy, and the files in which the copy differs."""

import shutil
from collections.abc import Iterator
from filecmp import dircmp
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "exporter"


def copy_of_package(folder: Path) -> Path:
    """Copy exporter/ into `folder` and return the copy: the folder to put on PYTHONPATH."""
    return Path(shutil.copytree(SOURCE, folder / "exporter", ignore=shutil.ignore_patterns("__pycache__")))


def changed_files(copy: Path) -> list[str]:
    """Sorted paths below goodwatt/ of the files that the copy changed, added or lacks."""
    return sorted(_differences(dircmp(SOURCE / "goodwatt", copy / "goodwatt", ignore=["__pycache__"]), ""))


def _differences(comparison: dircmp[str], folder: str) -> Iterator[str]:
    for name in (*comparison.diff_files, *comparison.left_only, *comparison.right_only):
        yield folder + name
    for name, inner in comparison.subdirs.items():
        yield from _differences(inner, f"{folder}{name}/")
