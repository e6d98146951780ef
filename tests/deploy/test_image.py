"""deploy/docker/Dockerfile, built and run as an orchestrator would run it.

No image registry is needed: Debian with its own Python is tagged with the name of the official base image. So this
tests the Dockerfile's steps, but not the official base.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goodwatt import __version__
from tests.deploy.image import REVISION, TAG, Container, Store, container
from tests.end_to_end.programs import Page, free_port, get, until

pytestmark = pytest.mark.deploy


@pytest.fixture(scope="module")
def settings(store: Store) -> dict[str, Any]:
    return store.settings(TAG)


@pytest.fixture(scope="module")
def demo(store: Store, settings: dict[str, Any], files: Path) -> Iterator[tuple[Container, str]]:
    address = f"127.0.0.1:{free_port()}"
    with container(store.folder / "bundle", files, settings, ["demo", "--web.listen-address", address]) as running:
        until(lambda: get(f"http://{address}/-/ready")[0] == 200, seconds=60, why=running.logged)
        yield running, f"http://{address}"


def test_the_image_s_configuration(settings: dict[str, Any]) -> None:
    """It has an unprivileged numeric user, the port, labels, and goodwatt as its entrypoint."""
    assert settings["User"] == "65532:65532"
    assert list(settings["ExposedPorts"]) == ["17077/tcp"]
    assert settings["Entrypoint"] == ["goodwatt"]
    assert settings["Cmd"] == ["run"]
    assert settings["Labels"]["org.opencontainers.image.version"] == __version__
    assert settings["Labels"]["org.opencontainers.image.revision"] == REVISION
    assert settings["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_demo_runs_in_it(demo: tuple[Container, str]) -> None:
    """`goodwatt demo` counts tokens and joules with a read-only root and no capability."""
    running, url = demo
    page = until(lambda: _with_tokens(url), seconds=30, why=running.logged)
    assert page.sum("goodwatt_gpu_energy_joules_total")


def _with_tokens(url: str) -> Page | None:
    page = Page.parse(get(f"{url}/metrics")[1])
    return page if page.sum("goodwatt_generated_tokens_total") else None


def test_it_runs_unprivileged(demo: tuple[Container, str]) -> None:
    """The process has the image's user, no capability, and cannot write to the root filesystem."""
    running, _ = demo
    look = (
        "import os\n"
        "status = dict(line.split(':', 1) for line in open('/proc/1/status'))\n"
        "print(status['Uid'].split()[0], status['CapEff'].strip())\n"
        "open('/opt/goodwatt/x', 'w')\n"
    )
    done = running.runs("python", "-c", look)
    assert done.stdout.split() == ["65532", "0000000000000000"]
    assert "Read-only file system" in done.stderr


def test_the_health_check_detects_a_dead_server(demo: tuple[Container, str], settings: dict[str, Any]) -> None:
    """The command of HEALTHCHECK succeeds if goodwatt answers and fails if nothing listens."""
    running, url = demo
    kind, *check = settings["Healthcheck"]["Test"]
    assert kind == "CMD"
    healthy = running.runs("env", f"GOODWATT_HEALTH_URL={url}/-/healthy", *check)
    assert healthy.returncode == 0, healthy.stderr
    dead = running.runs("env", f"GOODWATT_HEALTH_URL=http://127.0.0.1:{free_port()}/-/healthy", *check)
    assert dead.returncode != 0


def test_it_has_no_build_tools(files: Path) -> None:
    """It has no pip and no source tree; the one package from this repository is goodwatt."""
    inside = files / "opt/goodwatt"
    assert (inside / "bin/goodwatt").exists()
    assert not list(inside.glob("bin/pip*"))
    assert not (files / "src").exists()
    packages = next(inside.glob("lib/python*/site-packages"))
    assert (packages / "goodwatt/engines/vllm.yaml").exists()
    assert not [name for name in ("tests", "grafana", "exporter") if (packages / name).exists()]


def test_it_knows_its_version_and_brings_its_dashboards(demo: tuple[Container, str]) -> None:
    """`goodwatt --version` names the commit of the build argument, and the dashboards are in the installed package."""
    running, _ = demo
    assert running.runs("goodwatt", "--version").stdout.startswith(f"goodwatt {__version__} (commit {REVISION[:7]}, ")
    assert "goodwatt-energy" in running.runs("goodwatt", "dashboards").stdout


def test_it_can_read_spans_in_protobuf(demo: tuple[Container, str]) -> None:
    """The extra `otlp` is installed."""
    running, _ = demo
    done = running.runs("python", "-c", "import opentelemetry.proto.trace.v1.trace_pb2")
    assert done.returncode == 0, done.stderr


def test_it_stops_on_sigterm(store: Store, files: Path, settings: dict[str, Any]) -> None:
    """On SIGTERM it exits with 0 well within an orchestrator's grace period."""
    address = f"127.0.0.1:{free_port()}"
    arguments = ["demo", "--web.listen-address", address]
    with container(store.folder / "leaving", files, settings, arguments) as running:
        until(lambda: get(f"http://{address}/-/ready")[0] == 200, seconds=60, why=running.logged)
        running.process.terminate()
        assert running.process.wait(10) == 0
