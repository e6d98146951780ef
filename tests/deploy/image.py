"""Builds the image by buildah and runs it by runc, without a registry or a daemon."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.needed import CACHE, ROOT, program, ran

BASE = CACHE / "debian-python"
BASE_TAG = "docker.io/library/python:3.12-slim"  # the Dockerfile's base; replaced by Debian's own Python here
TAG = "localhost/goodwatt:test"
REVISION = "0123456789abcdef0123456789abcdef01234567"
BUILD_SECONDS = 400


@dataclass(frozen=True)
class Store:
    """A private image store, deleted with its folder."""

    folder: Path

    def buildah(self, *arguments: str | Path) -> str:
        """Run `buildah ARGUMENTS` and return its output."""
        where = ("--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        os.environ.setdefault("BUILDAH_ISOLATION", "chroot")  # needs neither a daemon nor cgroups
        return ran("buildah", *where, *arguments, within_seconds=BUILD_SECONDS).strip()

    def make_base(self) -> None:
        """Create the replacement of the official image: Debian's own Python under the official name."""
        assert (BASE / ".complete").exists(), "the base of the image is missing: run .ci/parts-deploy"
        container = self.buildah("from", "scratch")
        self.buildah("copy", "-q", container, BASE, "/")
        self.buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "-q", container, BASE_TAG)
        self.buildah("rm", container)

    def build(self, tag: str) -> None:
        """Build the image from the unchanged Dockerfile, with this machine's pip configuration."""
        pip = self.folder / "pip.conf"
        pip.write_text(pip_configuration())
        mounts = [f"{pip}:/etc/pip.conf:ro"]
        mounts += [f"{path}:{path}:ro" for path in {Path("/etc/ssl/certs")} if path.exists()]
        volumes = [word for mount in mounts for word in ("-v", mount)]
        how = ("--pull-never", "--format", "docker", "--layers=false", "--build-arg", f"REVISION={REVISION}", *volumes)
        self.buildah("bud", *how, "-f", ROOT / "deploy/docker/Dockerfile", "-t", tag, ROOT)

    def settings(self, tag: str) -> dict[str, Any]:
        """Return the image's configuration."""
        return dict(json.loads(self.buildah("inspect", "--type", "image", tag))["Docker"]["config"])

    def mounted(self, tag: str) -> Path:
        """Mount the image and return its root folder."""
        return Path(self.buildah("mount", self.buildah("from", "--pull-never", tag)))


def pip_configuration() -> str:
    """Return the part of this machine's pip configuration that works in a container: index, proxy, certificate."""
    listed = ran("python", "-m", "pip", "config", "list").splitlines()
    settings = dict(line.split("=", 1) for line in listed)
    kept = {}
    for name, value in settings.items():
        key, text = name.rpartition(".")[2], value.strip("'")
        if key in {"index-url", "proxy", "cert", "timeout"}:
            kept[key] = text
    return "[global]\n" + "".join(f"{key} = {text}\n" for key, text in kept.items())


@dataclass(frozen=True)
class Container:
    """A running container and its log."""

    name: str
    folder: Path
    process: subprocess.Popen[str]

    def logged(self) -> str:
        return (self.folder / "log").read_text()

    def runs(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as the image's user."""
        inside = [program("runc"), "--root", str(self.folder / "runc"), "exec", self.name, *command]
        return subprocess.run(inside, check=False, capture_output=True, text=True, timeout=30)


@contextlib.contextmanager
def container(folder: Path, files: Path, settings: dict[str, Any], arguments: Sequence[str]) -> Iterator[Container]:
    """Run the image as an orchestrator would: no capabilities, a read-only root, the image's user."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_bundle(files, settings, arguments)))
    name = f"goodwatt-{os.getpid()}"
    command = [program("runc"), "--root", str(folder / "runc"), "run", "--bundle", str(folder), name]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    try:
        yield Container(name, folder, process)
    finally:
        process.terminate()  # runc forwards the signal
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _bundle(files: Path, settings: dict[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Return the OCI runtime configuration. It has no network namespace: the test connects over loopback."""
    uid, gid = map(int, settings["User"].split(":"))
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(files), "readonly": True},
        "process": {
            "user": {"uid": uid, "gid": gid},
            "args": [*settings["Entrypoint"], *arguments],
            "env": settings["Env"],
            "cwd": settings["WorkingDir"] or "/",
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }
