"""deploy/docker/Dockerfile and .dockerignore as files."""

from goodwatt import __version__
from tests.deploy.needed import DEPLOY, ROOT, ran

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"


def test_the_dockerfile_is_clean() -> None:
    """hadolint has nothing to say, not even in passing."""
    assert ran("hadolint", "--no-color", "--failure-threshold", "style", DOCKERFILE) == ""


def test_the_image_is_of_this_version() -> None:
    """What the image is labelled with when nobody says otherwise."""
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE.read_text()


def test_only_what_is_built_from_is_sent() -> None:
    """.dockerignore lets in what the Dockerfile copies, and nothing else."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = [line.split()[1:-1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("COPY ")]
    copied = {source for line in copies for source in line if not source.startswith(("--from", "/opt"))}
    assert let_in == copied
    assert "*" in lines
