"""Boots a machine with systemd as its first process, by systemd-nspawn."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.needed import DEPLOY, program, ran
from tests.end_to_end.programs import until

UNITS = DEPLOY / "systemd"
STUB_FOLDER = "/opt/driver"
ENTER = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--")
GET = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=5).read().decode())"


@dataclass(frozen=True)
class Machine:
    """A booted machine; `root` is the folder with its filesystem."""

    root: Path
    init: int

    def runs(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on it as root."""
        inside = [program("nsenter"), "--target", str(self.init), *ENTER, *command]
        return subprocess.run(inside, check=False, capture_output=True, text=True, timeout=60)

    def output_of(self, *command: str) -> str:
        """Return what a command printed; AssertionError if it failed."""
        done = self.runs(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.journal()}"
        return done.stdout.strip()

    def property(self, name: str) -> str:
        """Return a property of the goodwatt service, as `systemctl show` prints it."""
        return self.output_of("systemctl", "show", "--value", "-p", name, "goodwatt")

    def get(self, path: str) -> str:
        """Return a page of goodwatt; OSError if there is no answer."""
        done = self.runs("python3", "-c", GET, f"http://127.0.0.1:17077{path}")
        if done.returncode:
            raise OSError(done.stderr.strip().rpartition("\n")[2])
        return done.stdout

    def journal(self) -> str:
        return self.runs("journalctl", "-u", "goodwatt", "--no-pager", "-o", "cat").stdout[-4000:]


def install(files: Path, root: Path, config: str, library: Path, state: str) -> None:
    """Install goodwatt as docs/deployment.md does, with a stub driver."""
    ran("cp", "-a", files, root, within_seconds=300)
    shutil.copy(UNITS / "goodwatt.service", root / "etc/systemd/system")
    (root / "etc/goodwatt").mkdir()
    (root / "etc/goodwatt/goodwatt.yaml").write_text(config)
    (root / STUB_FOLDER[1:]).mkdir()
    shutil.copy(library, root / STUB_FOLDER[1:])
    (root / STUB_FOLDER[1:] / "state").write_text(state)
    driver = f"LD_LIBRARY_PATH={STUB_FOLDER}\nNVML_STUB_STATE={STUB_FOLDER}/state\n"
    (root / "etc/default/goodwatt").write_text((UNITS / "goodwatt.default").read_text() + driver)
    enable = [program("systemctl"), f"--root={root}", "enable", "goodwatt"]
    subprocess.run(enable, check=True, capture_output=True, text=True)


@contextlib.contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """Boot it in its own network namespace and power it off afterwards. Needs root."""
    assert os.geteuid() == 0, "systemd-nspawn boots machines for root only: run as root"
    boot = ("--register=no", "--keep-unit", "--private-network", "--console=pipe", "-D", str(root), "-b")
    log = root.parent / "console.log"
    with log.open("w") as console:
        nspawn = subprocess.Popen(
            [program("systemd-nspawn"), *boot], stdin=subprocess.DEVNULL, stdout=console, stderr=console
        )
    try:
        init = until(lambda: _child(nspawn.pid), seconds=20, why=log.read_text)
        machine = Machine(root, init)
        until(
            lambda: machine.runs("systemctl", "is-active", "goodwatt").stdout == "active\n",
            seconds=60,
            why=log.read_text,
        )
        yield machine
    finally:
        nspawn.send_signal(signal.SIGTERM)  # an orderly shutdown
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def _child(pid: int) -> int | None:
    """Return the pid of the machine's init; nspawn briefly has another child, which is skipped."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        status = dict(line.split(":", 1) for line in Path(f"/proc/{child}/status").read_text().splitlines())
        if status["NSpid"].split()[1:] == ["1"]:
            return int(child)
    return None
