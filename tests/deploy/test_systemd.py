"""deploy/systemd: systemd's verdict on the unit, and the unit running on a booted machine."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from goodwatt.commands.flags import DEFAULT_PORT
from tests.deploy.machine import UNITS, Machine, booted, install
from tests.deploy.needed import ran
from tests.end_to_end.programs import Page, until
from tests.fakes.nvml_stub import build, stub_of

UNIT = UNITS / "goodwatt.service"
# On systemd's scale from 0 to 10; the rest is device and network access, which goodwatt needs.
MOST_EXPOSED = 1.5

pytestmark = pytest.mark.deploy


def verified(unit: Path, folder: Path) -> str:
    """Return what systemd-analyze reports, with a program that exists on this machine in place of goodwatt."""
    text = unit.read_text().replace("/opt/goodwatt/bin/goodwatt", "/bin/true")
    (folder / unit.name).write_text(text)
    return ran("systemd-analyze", "verify", "--man=no", folder / unit.name)


def test_systemd_reports_nothing(tmp_path: Path) -> None:
    """`systemd-analyze verify` prints nothing."""
    assert verified(UNIT, tmp_path) == ""


def test_the_verification_can_fail(tmp_path: Path) -> None:
    """`systemd-analyze verify` reports an unknown key."""
    wrong = tmp_path / "wrong" / UNIT.name
    wrong.parent.mkdir()
    wrong.write_text(UNIT.read_text().replace("[Service]", "[Service]\nProtectEverything=yes"))
    assert "ProtectEverything" in verified(wrong, tmp_path)


def test_it_is_hardened() -> None:
    """`systemd-analyze security` rates its exposure as low."""
    threshold = f"--threshold={MOST_EXPOSED * 10:.0f}"
    report = ran("systemd-analyze", "security", "--offline=true", threshold, "--no-pager", UNIT)
    exposed = re.search(r"Overall exposure level for goodwatt\.service: ([\d.]+)", report)
    assert exposed and float(exposed[1]) <= MOST_EXPOSED


CONFIG = """\
interval_seconds: 1
servers: [{name: away, url: "http://127.0.0.1:9", engine: vllm}]
cost: {currency: USD, price_per_gpu_hour: 1.69}
"""


@pytest.fixture(scope="module")
def machine(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    stub = stub_of(folder, 2)
    install(files, folder / "root", CONFIG, build(folder), stub.path.read_text())
    with booted(folder / "root") as made:
        until(lambda: "goodwatt_build_info" in made.get("/metrics"), seconds=60, why=made.journal)
        yield made
    shutil.rmtree(folder / "root")


def page(machine: Machine) -> Page:
    return Page.parse(machine.get("/metrics"))


def test_it_reads_gpus_under_every_restriction(machine: Machine) -> None:
    """Under the unit's filters and limits, the driver's library (here a stub) works and energy is counted."""
    until(lambda: (page(machine).sum("goodwatt_gpu_energy_joules_total") or 0) > 0, seconds=20, why=machine.journal)
    assert page(machine).sum("goodwatt_source_up", source="nvml") == 1


def test_it_runs_unprivileged(machine: Machine) -> None:
    """The process is a dynamic user without capabilities, under a seccomp filter, on a read-only root."""
    pid = machine.property("MainPID")
    status = dict(line.split(":\t", 1) for line in machine.output_of("cat", f"/proc/{pid}/status").splitlines())
    assert int(status["Uid"].split()[0]) >= 61184  # systemd's range of dynamic users
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    mounts = machine.output_of("cat", f"/proc/{pid}/mounts").splitlines()
    (root,) = [line.split()[3] for line in mounts if line.split()[1] == "/"]
    assert root.split(",")[0] == "ro"


def test_it_is_far_below_its_limit(machine: Machine) -> None:
    """The memory limit is more than three times what the process uses: it stops leaks only."""
    status = machine.output_of("cat", f"/proc/{machine.property('MainPID')}/status")
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident
    assert int(machine.property("MemoryMax")) > 3 * 1024 * int(resident[1])


def test_a_reload_applies_a_change(machine: Machine) -> None:
    """`systemctl reload` applies a new price; an invalid file fails the reload and changes nothing."""
    file = machine.root / "etc/goodwatt/goodwatt.yaml"
    file.write_text(CONFIG.replace("1.69", "2.5"))
    machine.output_of("systemctl", "reload", "goodwatt")
    until(lambda: page(machine).sum("goodwatt_price_per_gpu_hour") == 2.5, seconds=10, why=machine.journal)
    file.write_text("servers: 3\n")
    assert machine.runs("systemctl", "reload", "goodwatt").returncode != 0
    until(lambda: "goodwatt.yaml:1" in machine.journal(), seconds=10)
    assert machine.property("ActiveState") == "active"
    file.write_text(CONFIG)


def test_it_restarts_after_a_kill(machine: Machine) -> None:
    """After SIGKILL a new process serves within seconds."""
    first = machine.property("MainPID")
    machine.output_of("systemctl", "kill", "-s", "KILL", "goodwatt")
    until(lambda: machine.property("MainPID") not in {first, "0"}, seconds=30, why=machine.journal)
    until(lambda: "goodwatt_build_info" in machine.get("/metrics"), seconds=30, why=machine.journal)


def test_it_stops_in_time(machine: Machine) -> None:
    """`systemctl stop` ends it by SIGTERM, with exit code 0."""
    machine.output_of("systemctl", "stop", "goodwatt")
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == ("success", "0")
    machine.output_of("systemctl", "start", "goodwatt")


def test_an_invalid_configuration_is_not_retried(machine: Machine) -> None:
    """Started with an invalid file, the service fails once, and the journal names the line."""
    file = machine.root / "etc/goodwatt/goodwatt.yaml"
    file.write_text("servers: 3\n")
    machine.runs("systemctl", "restart", "goodwatt")
    until(lambda: machine.property("ActiveState") == "failed", seconds=20, why=machine.journal)
    assert machine.property("ExecMainStatus") == "2"
    file.write_text(CONFIG)


def test_the_port_is_goodwatt_s() -> None:
    """The shipped flags use the default port, which Prometheus and the docs expect."""
    assert f"--web.listen-address :{DEFAULT_PORT}" in (UNITS / "goodwatt.default").read_text()
