"""`goodwatt run` end to end: the real NVML binding over a stub driver, real HTTP, injected faults."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.programs import Goodwatt, Page, get, goodwatt, until
from tests.fakes.engine_thread import EngineThread
from tests.fakes.nvml_stub import Stub, build, stub_of

CONFIG = """
interval_seconds: 0.25
window_seconds: 2
servers:
  - {{name: a, url: "{a}", gpus: [0]}}
  - {{name: b, url: "{b}", gpus: [1]}}
slos:
  - {{name: edge, ttft_seconds: 1.0, tpot_seconds: 0.1, objective_ratio: 0.95}}
cost: {{price_per_gpu_hour: 3600}}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def engines() -> Iterator[EngineThread]:
    with EngineThread(("a", "b")) as running:
        yield running


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return stub_of(tmp_path, 2)


@pytest.fixture
def running(tmp_path: Path, library: Path, stub: Stub, engines: EngineThread) -> Iterator[Goodwatt]:
    config = CONFIG.format(a=engines.url("a"), b=engines.url("b"))
    with goodwatt(tmp_path, "run", config=config, environment=stub.environ(library)) as process:
        until(lambda: process.page().sum("goodwatt_tokens_per_watt", server="b"), seconds=10, why=process.logged)
        yield process


def grows(running: Goodwatt, name: str, **labels: str) -> bool:
    """Wait until a counter increases."""
    before = running.page().sum(name, **labels)
    return until(lambda: (running.page().sum(name, **labels) or 0) > (before or 0), seconds=5, why=running.logged)


def conserves(page: Page) -> bool:
    """Whether attributed plus unattributed joules equal the joules measured."""
    measured = page.sum("goodwatt_gpu_energy_joules_total")
    parts = page.sum("goodwatt_energy_joules_total"), page.sum("goodwatt_gpu_unattributed_energy_joules_total")
    assert measured is not None
    return sum(part or 0.0 for part in parts) == pytest.approx(measured, abs=0.005)


def test_energy_and_power_match_the_driver(running: Goodwatt, stub: Stub) -> None:
    """Power and energy match the driver stub's 400 W, and every joule is attributed or unattributed."""
    page = running.page()
    assert page.sum("goodwatt_gpu_power_watts", gpu="0") == 400.0
    assert page.all("goodwatt_gpu_info", energy_method="measured", uuid=stub.gpus[1].uuid)
    began, before = time.monotonic(), page.sum("goodwatt_gpu_energy_joules_total", gpu="0")
    time.sleep(2.0)
    page, seconds = running.page(), time.monotonic() - began
    after = page.sum("goodwatt_gpu_energy_joules_total", gpu="0")
    assert before is not None and after is not None
    assert (after - before) / seconds == pytest.approx(400.0, rel=0.3)
    assert conserves(page)


def test_a_hung_driver_stops_nothing_else(running: Goodwatt, stub: Stub) -> None:
    """While a driver call hangs, tokens are counted, /metrics answers fast and the reason is published; GPU series are
    dropped after three ticks, and SIGTERM still ends the process within two seconds."""
    stub.hangs[("nvmlDeviceGetPowerUsage", "*")] = 3600.0
    stub.write()
    until(lambda: running.page().sum("goodwatt_source_up", source="nvml") == 0, seconds=5, why=running.logged)
    assert grows(running, "goodwatt_generated_tokens_total", server="a")
    until(lambda: running.page().sum("goodwatt_gpu_power_watts") is None, seconds=5)
    page = running.page()
    assert page.sum("goodwatt_tokens_per_watt") is None and page.sum("goodwatt_energy_joules_total") is None
    assert page.all("goodwatt_source_failures_total", source="nvml")
    took = []
    for _ in range(50):
        began = time.monotonic()
        get(f"{running.url}/metrics")
        took.append(time.monotonic() - began)
    assert sorted(took)[25] < 0.25  # a hang would be seconds
    code, seconds = running.terminate()
    assert (code, seconds < 2.0) == (0, True)


def test_a_failing_server_is_dropped_and_recovers(running: Goodwatt, engines: EngineThread) -> None:
    """When a server answers 500, the reason is published and its series are dropped after three ticks; the other server
    is unaffected. After it recovers, its counters are no lower than before."""
    before = running.page().sum("goodwatt_generated_tokens_total", server="a")
    engines.break_("a", 500)
    until(lambda: running.page().sum("goodwatt_generated_tokens_total", server="a") is None, seconds=5)
    page = running.page()
    assert page.sum("goodwatt_server_up", server="a") == 0
    until(lambda: running.page().sum("goodwatt_server_up", server="b") == 1, seconds=5)
    assert page.all("goodwatt_source_failures_total", source="server/a", reason="http_error")
    assert grows(running, "goodwatt_generated_tokens_total", server="b")
    assert conserves(running.page())
    engines.break_("a", None)
    after = until(lambda: running.page().sum("goodwatt_generated_tokens_total", server="a"), seconds=5)
    assert before is not None and after >= before


def test_a_lost_gpu_is_published_as_lost(running: Goodwatt, stub: Stub) -> None:
    """A GPU that has fallen off the bus has state `lost` and no power; all else is unaffected."""
    stub.gpus[0].lost = True
    stub.write()
    until(lambda: running.page().sum("goodwatt_gpu_state", gpu="0", state="lost") == 1, seconds=5, why=running.logged)
    page = running.page()
    assert page.sum("goodwatt_gpu_power_watts", gpu="0") is None
    assert page.sum("goodwatt_gpu_power_watts", gpu="1") == 400.0
    assert grows(running, "goodwatt_generated_tokens_total", server="a")


def test_counter_resets_and_glitches_never_lower_energy(running: Goodwatt, stub: Stub) -> None:
    """When the driver's counter resets or jumps by 10^9 J, ours keeps growing at 400 W and the jump is logged."""
    before = running.page().sum("goodwatt_gpu_energy_joules_total", gpu="0")
    stub.reset_counter(0)
    stub.write()
    assert grows(running, "goodwatt_gpu_energy_joules_total", gpu="0")
    stub.glitch(0)
    stub.write()
    until(lambda: running.page().sum("goodwatt_gpu_energy_glitches_total", gpu="0") == 1, seconds=5)
    assert running.logged().count("rose faster than its power limit allows") == 1
    assert grows(running, "goodwatt_gpu_energy_joules_total", gpu="0")
    page = running.page()
    after = page.sum("goodwatt_gpu_energy_joules_total", gpu="0")
    assert before is not None and after is not None and 0 < after - before < 400.0 * 30
    assert conserves(page)


def test_the_pages_of_a_running_process(running: Goodwatt) -> None:
    """The landing page, health check and redacted configuration answer 200; an unknown path answers 404."""
    assert get(f"{running.url}/-/healthy")[0] == 200
    status, text = get(f"{running.url}/config")
    assert status == 200 and "price_per_gpu_hour: 3600" in text
    status, landing = get(f"{running.url}/")
    assert status == 200 and "goodwatt" in landing and ">simulated<" not in landing.lower()
    assert get(f"{running.url}/nothing")[0] == 404


def test_no_gpu_and_no_configuration(tmp_path: Path) -> None:
    """Without GPUs and servers it runs, and the log and metrics name both as missing."""
    with goodwatt(tmp_path, "run", environment={"LD_LIBRARY_PATH": str(tmp_path)}) as running:
        page = running.page()
        assert page.sum("goodwatt_source_up", source="nvml") == 0
        assert page.all("goodwatt_source_failures_total", source="nvml")
        assert "nvml:" in running.logged()
        assert "no inference server answers" in running.logged()


def test_no_source_is_valid(tmp_path: Path) -> None:
    """With `servers: []` and `gpus: {kind: none}` it serves metrics about itself."""
    with goodwatt(tmp_path, "run", config="servers: []\ngpus: {kind: none}\ninterval_seconds: 0.2\n") as running:
        page = running.page()
        assert page.sum("goodwatt_build_info") == 1
        assert not page.all("goodwatt_source_up")
        assert running.terminate()[0] == 0


@pytest.mark.parametrize("command", ["run", "demo"])
def test_a_taken_port_is_one_clear_line(tmp_path: Path, command: str) -> None:
    """The second process on a port exits with 1 and names the flag to change."""
    config = "servers: []\ngpus: {kind: none}\n"
    with goodwatt(tmp_path, "run", config=config) as running:
        address = running.url.removeprefix("http://")
        second = subprocess.run(
            [sys.executable, "-m", "goodwatt", command, "--web.listen-address", address],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1].startswith(f"goodwatt: cannot listen on {address}: address already in use")
    assert "Traceback" not in second.stderr


def test_once_prints_one_scrape(tmp_path: Path, engines: EngineThread) -> None:
    """`goodwatt once` reads every source once, prints the text format and opens no listener."""
    (tmp_path / "c.yaml").write_text(
        f"otlp: {{listen: '127.0.0.1:4318'}}\nservers: [{{name: a, url: '{engines.url('a')}'}}]\ngpus: {{kind: none}}\n"
    )
    command = [sys.executable, "-m", "goodwatt", "once", "--config", str(tmp_path / "c.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    page = Page.parse(done.stdout)
    assert page.sum("goodwatt_server_up", server="a") == 1
    assert page.sum("goodwatt_source_up") == 1
    assert page.sum("goodwatt_generated_tokens_total", server="a") == 0  # the first reading is the start value


def test_a_slow_client_does_not_block_others(tmp_path: Path) -> None:
    """While one client has sent half a request, others are answered."""
    with goodwatt(tmp_path, "run", config="servers: []\ngpus: {kind: none}\n") as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            assert get(f"{running.url}/metrics")[0] == 200
