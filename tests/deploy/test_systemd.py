"""deploy/systemd: what systemd says of the unit, and the unit at work on a machine of its own."""

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
# systemd's own scale from 0 to 10; what is left is that it reads devices and has the network, which is its work.
MOST_EXPOSED = 1.5

pytestmark = pytest.mark.deploy


def verified(unit: Path, folder: Path) -> str:
    """What systemd-analyze says of it where its programs are installed; they are not on the machine that tests."""
    text = unit.read_text().replace("/opt/goodwatt/bin/goodwatt", "/bin/true")
    (folder / unit.name).write_text(text)
    return ran("systemd-analyze", "verify", "--man=no", folder / unit.name)


def test_systemd_has_nothing_to_say(tmp_path: Path) -> None:
    """`systemd-analyze verify` prints not one line."""
    assert verified(UNIT, tmp_path) == ""


def test_the_verification_can_fail(tmp_path: Path) -> None:
    """A key that systemd does not know is told."""
    wrong = tmp_path / "wrong" / UNIT.name
    wrong.parent.mkdir()
    wrong.write_text(UNIT.read_text().replace("[Service]", "[Service]\nProtectEverything=yes"))
    assert "ProtectEverything" in verified(wrong, tmp_path)


def test_it_is_hardened() -> None:
    """systemd's own measure of exposure stays low."""
    threshold = f"--threshold={MOST_EXPOSED * 10:.0f}"
    said = ran("systemd-analyze", "security", "--offline=true", threshold, "--no-pager", UNIT)
    exposed = re.search(r"Overall exposure level for goodwatt\.service: ([\d.]+)", said)
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
    """With the unit's filters and limits the driver's library works and joules are counted, here those of a stub."""
    until(lambda: (page(machine).sum("goodwatt_gpu_energy_joules_total") or 0) > 0, seconds=20, why=machine.journal)
    assert page(machine).sum("goodwatt_source_up", source="nvml") == 1


def test_it_has_no_rights(machine: Machine) -> None:
    """The process is a user made for it, without a capability, under a filter, and may write nothing."""
    pid = machine.property("MainPID")
    status = dict(line.split(":\t", 1) for line in machine.told("cat", f"/proc/{pid}/status").splitlines())
    assert int(status["Uid"].split()[0]) >= 61184  # systemd's range of dynamic users
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2")
    mounts = machine.told("cat", f"/proc/{pid}/mounts").splitlines()
    (root,) = [line.split()[3] for line in mounts if line.split()[1] == "/"]
    assert root.split(",")[0] == "ro"


def test_it_is_far_below_its_limit(machine: Machine) -> None:
    """The unit's limit is more than three times what the process takes, so that it ends what leaks and nothing else."""
    status = machine.told("cat", f"/proc/{machine.property('MainPID')}/status")
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident
    assert int(machine.property("MemoryMax")) > 3 * 1024 * int(resident[1])


def test_a_reload_takes_up_what_changed(machine: Machine) -> None:
    """`systemctl reload` brings a new price; a file that is wrong fails it and changes nothing."""
    file = machine.root / "etc/goodwatt/goodwatt.yaml"
    file.write_text(CONFIG.replace("1.69", "2.5"))
    machine.told("systemctl", "reload", "goodwatt")
    until(lambda: page(machine).sum("goodwatt_price_per_gpu_hour") == 2.5, seconds=10, why=machine.journal)
    file.write_text("servers: 3\n")
    assert machine.runs("systemctl", "reload", "goodwatt").returncode != 0
    until(lambda: "goodwatt.yaml:1" in machine.journal(), seconds=10)
    assert machine.property("ActiveState") == "active"
    file.write_text(CONFIG)


def test_it_comes_back_when_it_is_killed(machine: Machine) -> None:
    """SIGKILL is followed by another process within some seconds."""
    first = machine.property("MainPID")
    machine.told("systemctl", "kill", "-s", "KILL", "goodwatt")
    until(lambda: machine.property("MainPID") not in {first, "0"}, seconds=30, why=machine.journal)
    until(lambda: "goodwatt_build_info" in machine.get("/metrics"), seconds=30, why=machine.journal)


def test_it_stops_in_time(machine: Machine) -> None:
    """`systemctl stop` ends it by SIGTERM, with success."""
    machine.told("systemctl", "stop", "goodwatt")
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == ("success", "0")
    machine.told("systemctl", "start", "goodwatt")


def test_a_wrong_configuration_is_not_tried_for_ever(machine: Machine) -> None:
    """Started with a broken file the service fails once, and the journal names the line."""
    file = machine.root / "etc/goodwatt/goodwatt.yaml"
    file.write_text("servers: 3\n")
    machine.runs("systemctl", "restart", "goodwatt")
    until(lambda: machine.property("ActiveState") == "failed", seconds=20, why=machine.journal)
    assert machine.property("ExecMainStatus") == "2"
    file.write_text(CONFIG)


def test_the_port_is_goodwatt_s() -> None:
    """The shipped flags listen where Prometheus and the docs expect it."""
    assert f"--web.listen-address :{DEFAULT_PORT}" in (UNITS / "goodwatt.default").read_text()
