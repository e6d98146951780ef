"""A private network with its own host names, like the one of compose, made from Linux namespaces."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.needed import ROOT, program

GET = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=5).read().decode())"


@dataclass
class Network:
    """A network with loopback only, where every service name resolves to loopback: the files work unchanged."""

    keeper: int
    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Start a program in it; `logged()` returns its output."""
        with (self.folder / f"{name}.log").open("w") as log:
            words = [*self._enter(), *map(str, command)]
            # nsenter execs the program, so this is one process.
            self.running.append(subprocess.Popen(words, stdout=log, stderr=log, text=True, cwd=ROOT))

    def get(self, url: str) -> str:
        """Send a request from inside and return the answer; OSError if there is none."""
        done = subprocess.run(
            [*self._enter(), sys.executable, "-c", GET, url], check=False, capture_output=True, text=True, timeout=20
        )
        if done.returncode:
            raise OSError(done.stderr.strip().rpartition("\n")[2])
        return done.stdout

    def logged(self) -> str:
        """Return the output of all programs."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """Terminate every program, and kill those that do not exit in time."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()

    def _enter(self) -> tuple[str, ...]:
        return (program("nsenter"), "--target", str(self.keeper), "--net", "--mount", f"--wd={ROOT}")


@contextlib.contextmanager
def network(folder: Path, names: Sequence[str]) -> Iterator[Network]:
    """Create a network where these names resolve to loopback. Needs root or unprivileged user namespaces."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
    script = 'ip link set lo up && mount --bind "$1" /etc/hosts && echo ready && exec sleep 600'
    assert shutil.which("ip"), "ip is missing: apt-get install --no-install-recommends iproute2"
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = [program("unshare"), *as_root, "--net", "--mount", "sh", "-c", script, "sh", str(hosts)]
    keeper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    made = Network(keeper.pid, folder)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n", "no network namespace: run as root"
        yield made
    finally:
        made.end()
        keeper.kill()
        keeper.communicate()
