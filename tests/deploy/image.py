"""The image: built by buildah and run by runc, with nothing of a registry or a daemon."""

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
BASE_TAG = "docker.io/library/python:3.12-slim"  # what the Dockerfile asks for; here it is Debian with its own
TAG = "localhost/goodwatt:test"
REVISION = "0123456789abcdef0123456789abcdef01234567"
BUILD_SECONDS = 400


@dataclass(frozen=True)
class Store:
    """A store of images of its own, thrown away with its folder."""

    folder: Path

    def buildah(self, *arguments: str | Path) -> str:
        """What `buildah ARGUMENTS` printed."""
        where = ("--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        os.environ.setdefault("BUILDAH_ISOLATION", "chroot")  # no daemon, and no right to make cgroups
        return ran("buildah", *where, *arguments, within_seconds=BUILD_SECONDS).strip()

    def make_base(self) -> None:
        """The stand-in for the official image: Debian's own Python under the official name."""
        assert (BASE / ".complete").exists(), "the base of the image is missing: run .ci/parts-deploy"
        container = self.buildah("from", "scratch")
        self.buildah("copy", "-q", container, BASE, "/")
        self.buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self.buildah("commit", "-q", container, BASE_TAG)
        self.buildah("rm", container)

    def build(self, tag: str) -> None:
        """The image from the Dockerfile as it stands. How pip reaches its index comes from this machine."""
        pip = self.folder / "pip.conf"
        pip.write_text(pip_configuration())
        mounts = [f"{pip}:/etc/pip.conf:ro"]
        mounts += [f"{path}:{path}:ro" for path in {Path("/etc/ssl/certs")} if path.exists()]
        volumes = [word for mount in mounts for word in ("-v", mount)]
        how = ("--pull-never", "--format", "docker", "--layers=false", "--build-arg", f"REVISION={REVISION}", *volumes)
        self.buildah("bud", *how, "-f", ROOT / "deploy/docker/Dockerfile", "-t", tag, ROOT)

    def settings(self, tag: str) -> dict[str, Any]:
        """What the image says of itself."""
        return dict(json.loads(self.buildah("inspect", "--type", "image", tag))["Docker"]["config"])

    def mounted(self, tag: str) -> Path:
        """Its files."""
        return Path(self.buildah("mount", self.buildah("from", "--pull-never", tag)))


def pip_configuration() -> str:
    """What pip is told on this machine and a build container can use too: an index, a proxy, a certificate."""
    listed = ran("python", "-m", "pip", "config", "list").splitlines()
    told = dict(line.split("=", 1) for line in listed)
    kept = {}
    for name, value in told.items():
        key, text = name.rpartition(".")[2], value.strip("'")
        if key in {"index-url", "proxy", "cert", "timeout"}:
            kept[key] = text
    return "[global]\n" + "".join(f"{key} = {text}\n" for key, text in kept.items())


@dataclass(frozen=True)
class Container:
    """A running container."""

    name: str
    folder: Path
    process: subprocess.Popen[str]

    def logged(self) -> str:
        return (self.folder / "log").read_text()

    def runs(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command inside it, as its own user."""
        inside = [program("runc"), "--root", str(self.folder / "runc"), "exec", self.name, *command]
        return subprocess.run(inside, check=False, capture_output=True, text=True, timeout=30)


@contextlib.contextmanager
def container(folder: Path, files: Path, settings: dict[str, Any], arguments: Sequence[str]) -> Iterator[Container]:
    """The image started by runc as an orchestrator would: no capabilities, a read-only root, the user of the image."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(_bundle(files, settings, arguments)))
    name = f"goodwatt-{os.getpid()}"
    command = [program("runc"), "--root", str(folder / "runc"), "run", "--bundle", str(folder), name]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    try:
        yield Container(name, folder, process)
    finally:
        process.terminate()  # runc hands the signal on
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _bundle(files: Path, settings: dict[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """What runc is told, by the OCI runtime specification. The network is the machine's: the test looks at loopback."""
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
