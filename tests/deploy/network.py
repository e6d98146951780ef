"""A network of its own with host names of its own, as compose gives its services, out of Linux namespaces."""

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
    """Loopback and nothing else; every service's name leads there, so that all their files work as they stand."""

    keeper: int
    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """A program in it. What it prints is in `logged()`."""
        with (self.folder / f"{name}.log").open("w") as log:
            words = [*self._enter(), *map(str, command)]
            # One process, since nsenter becomes the program.
            self.running.append(subprocess.Popen(words, stdout=log, stderr=log, text=True, cwd=ROOT))

    def get(self, url: str) -> str:
        """What is answered inside; an OSError when nothing is."""
        done = subprocess.run(
            [*self._enter(), sys.executable, "-c", GET, url], check=False, capture_output=True, text=True, timeout=20
        )
        if done.returncode:
            raise OSError(done.stderr.strip().rpartition("\n")[2])
        return done.stdout

    def logged(self) -> str:
        """What the programs printed."""
        return "\n".join(f"--- {log.name}\n{log.read_text()[-2000:]}" for log in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """Every program, in time."""
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
    """A network where these names are loopback. Needs root, or a kernel that gives namespaces to everybody."""
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
