"""deploy/docker/Dockerfile and .dockerignore as files."""

import shutil
import subprocess
import sys
from pathlib import Path

from goodwatt import __version__
from tests.deploy.needed import DEPLOY, ROOT, ran

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def build_context() -> list[str]:
    """The paths that .dockerignore lets through."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def test_the_dockerfile_is_clean() -> None:
    """hadolint reports nothing, not even style."""
    assert ran("hadolint", "--no-color", "--failure-threshold", "style", DOCKERFILE) == ""


def test_the_image_is_labelled_with_this_version() -> None:
    """The default of the build argument VERSION is the package's version."""
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE.read_text()


def test_the_build_context_is_what_is_copied() -> None:
    """.dockerignore lets through what the Dockerfile copies, and nothing else."""
    copies = [line.split()[1:-1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    copied = {source for line in copies for source in line if not source.startswith(("--from", "/opt"))}
    assert set(build_context()) == copied


def test_the_build_context_is_enough_for_the_wheel(tmp_path: Path) -> None:
    """The wheel builds from those files alone, as it does in the image."""
    for name in build_context():
        source, copy = ROOT / name, tmp_path / "src" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(tmp_path / "src")], check=True)
    assert len(list(tmp_path.glob("goodwatt-*.whl"))) == 1
