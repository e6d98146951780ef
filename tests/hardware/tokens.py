"""Question 9: joules per token by goodwatt, by Zeus, and by the counter read by hand, under a load of known tokens."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pynvml

from tests.end_to_end.programs import Page, free_port, get, until
from tests.hardware.answers import gpu
from tests.hardware.load import ROOT

OK = 200
BATCH, SECONDS, PAUSE_SECONDS = 64, 40.0, 3.0
CONFIG = """\
interval_seconds: 0.5
slos: []
servers: [{{name: torch, url: "http://127.0.0.1:{port}/metrics", engine: torch_loop}}]
profiles:
  - name: torch_loop
    title: a generate loop
    ports: [{port}]
    detect: {{any_of: ["torch_tokens_*"]}}
    labels: {{model: [model]}}
    traits: {{tokens_move: step}}
    signals:
      generated_tokens:
        - sum: [{{metric: torch_tokens_total}}]
"""


def joules_per_token() -> dict[str, Any]:
    """Each figure is over the same span: idle pauses before and after the load are in all of them."""
    server_port, own_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "goodwatt.yaml"
        config.write_text(CONFIG.format(port=server_port))
        loop = _start(
            "tests.hardware.generate", str(server_port), str(BATCH), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        _done(loop)
        address = f"127.0.0.1:{own_port}"
        goodwatt = _start("goodwatt", "run", "--config", str(config), "--web.listen-address", address)
        try:
            until(lambda: _energy(address), seconds=30)
            return _measured(loop, address, goodwatt.pid)
        finally:
            goodwatt.terminate()
            loop.kill()


def _start(module: str, *arguments: str, **pipes: int) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]


def _done(loop: "subprocess.Popen[str]") -> int:
    assert loop.stdout is not None
    return int(loop.stdout.readline().split()[1])


def _energy(address: str) -> float | None:
    """Joules of the account; None before the first tick that has any."""
    status, text = get(f"http://{address}/metrics")
    return Page.parse(text).sum("goodwatt_energy_joules_total") if status == OK else None


def _ticked(address: str) -> Page:
    """The page of a tick that has just ended."""
    before = _page(address).sum("goodwatt_ticks_total")
    return until(lambda: page if (page := _page(address)).sum("goodwatt_ticks_total") != before else None, seconds=5)


def _page(address: str) -> Page:
    return Page.parse(get(f"http://{address}/metrics")[1])


def _measured(loop: "subprocess.Popen[str]", address: str, pid: int) -> dict[str, Any]:
    from zeus.monitor import ZeusMonitor

    zeus = ZeusMonitor(gpu_indices=[0], approx_instant_energy=False)
    time.sleep(PAUSE_SECONDS)
    page, by_hand, cpu = _ticked(address), pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu()), _cpu_seconds(pid)
    zeus.begin_window("load", sync_execution=False)  # this process has no work to wait for, and begins no context
    began = time.monotonic()
    assert loop.stdin is not None
    loop.stdin.write(f"go {SECONDS}\n")
    loop.stdin.flush()
    made = _done(loop)
    time.sleep(PAUSE_SECONDS)
    after = _ticked(address)
    window = zeus.end_window("load", sync_execution=False)
    hand = (pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu()) - by_hand) / 1000
    seconds = time.monotonic() - began
    joules = {
        name: (after.sum(name) or 0.0) - (page.sum(name) or 0.0)
        for name in (
            "goodwatt_energy_joules_total",
            "goodwatt_gpu_energy_joules_total",
            "goodwatt_generated_tokens_total",
        )
    }
    tokens = joules.pop("goodwatt_generated_tokens_total")
    return {
        "batch": BATCH,
        "tokens_made": made,
        "tokens_goodwatt": tokens,
        "seconds": seconds,
        "joules": {"by_hand": hand, "zeus": window.total_energy, **joules},
        "joules_per_token": {
            "by_hand": hand / made,
            "zeus": window.total_energy / made,
            "goodwatt": joules["goodwatt_energy_joules_total"] / tokens,
        },
        "live_tokens_per_watt": after.all("goodwatt_tokens_per_watt") and after.sum("goodwatt_tokens_per_watt"),
        "goodwatt_cpu_ratio_at_half_a_second": (_cpu_seconds(pid) - cpu) / seconds,
        "goodwatt_resident_bytes": after.sum("process_resident_memory_bytes"),
    }


def _cpu_seconds(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)
