"""The real binding against the stub driver, a libnvidia-ml.so.1 compiled for the test."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.nvml_stub import build, stub_of

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build(tmp_path_factory.mktemp("driver"))


class Reader:
    """The lines of a process that reads GPUs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self):
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            return json.loads(await self._process.stdout.readline())

    async def until(self, wanted, within_seconds=15.0):
        """Return the first line that satisfies the condition."""
        end = time.monotonic() + within_seconds
        while True:
            line = await self.line()
            if wanted(line):
                return line
            assert time.monotonic() < end, f"never came; last seen: {line}"


@asynccontextmanager
async def reader(stub, library, interval=0.05, deadline=2.0):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.read_gpus", str(interval), str(deadline)),
        cwd=ROOT,
        env=stub.environ(library),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield Reader(process)
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(5):
            await process.communicate()
        assert process.returncode == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()


def reason(name):
    return lambda line: line.get("reason") == name


def readable(line):
    return "gpus" in line


def lost(line):
    return readable(line) and [gpu["state"] for gpu in line["gpus"]] == ["lost", "ok"]


async def test_every_quantity_and_every_failure(library, tmp_path):
    """Each quantity is in its unit; counter resets, glitches, refusals, Xids, loss and return of a GPU come through."""
    stub = stub_of(tmp_path, 2)
    stub.gpus[0].mask = 0x4 | 0x40
    stub.gpus[1].serial = ""
    stub.write()
    async with reader(stub, library) as gpus:
        line = await gpus.line()
        one, two = line["gpus"]
        assert one["gpu"] == {
            "uuid": "GPU-00000000-0000-4000-8000-000000000000",
            "index": 0,
            "product": "NVIDIA H100 80GB HBM3",
            "driver": "570.86.15",
            "board": "1650123",
        }
        assert (two["gpu"]["index"], two["gpu"]["board"]) == (1, None)
        assert (one["power_watts"], one["power_limit_watts"], one["temperature_celsius"]) == (400.0, 700.0, 61.0)
        assert (one["utilization_ratio"], one["sm_clock_hertz"]) == (0.57, 1.755e9)
        assert (one["memory_used_bytes"], one["memory_total_bytes"]) == (60 << 30, 80 << 30)
        assert {name for name, on in one["throttled"].items() if on} == {"sw_power_cap", "hw_thermal_slowdown"}
        assert (one["energy"]["method"], one["energy"]["scope"], line["notes"]) == ("measured", "gpu", [])
        for gpu in line["gpus"]:
            assert abs(gpu["energy"]["millijoules"] - 400_000 * gpu["at_seconds"]) < 400_000 * 0.05

        stub.reset_counter(0)
        stub.write()
        before = one["energy"]["millijoules"]
        await gpus.until(lambda line: line["gpus"][0]["energy"]["millijoules"] < before)

        stub.glitch(0)
        stub.write()
        await gpus.until(lambda line: line["gpus"][0]["energy"]["millijoules"] > 10**12)

        stub.errors["nvmlDeviceGetUtilizationRates", 1] = 4
        stub.write()
        line = await gpus.until(lambda line: line["gpus"][1]["utilization_ratio"] is None)
        assert (line["gpus"][0]["utilization_ratio"], line["gpus"][1]["power_watts"]) == (0.57, 400.0)
        assert "permission denied: Insufficient Permissions (NVML code 4)" in line["notes"][0]

        assert [gpu["xid_errors"] for gpu in line["gpus"]] == [0, 0]
        stub.gpus[1].xid, stub.gpus[1].xid_count = 31, 2
        stub.write()
        line = await gpus.until(lambda line: line["gpus"][1]["xid_errors"])
        assert [(gpu["xid_errors"], gpu["last_xid"]) for gpu in line["gpus"]] == [(0, None), (2, 31)]

        stub.gpus[0].lost = True
        stub.write()
        line = await gpus.until(lost)
        assert (line["gpus"][0]["gpu"], line["gpus"][0]["energy"]) == (one["gpu"], None)
        stub.gpus[0].lost = False
        stub.write()
        line = await gpus.until(lambda line: line["gpus"][0]["state"] == "ok")
        assert line["gpus"][0]["energy"]["millijoules"] > 10**12


async def test_integrated_energy_is_within_two_percent_of_the_truth(library, tmp_path):
    """On a 2 s square wave of 100 and 500 W the integrated energy of 6 s is within 2 % of the wave's true integral.

    A busy machine may delay the sampler across an edge of the wave, so one span of three has to be undisturbed.
    """
    stub = stub_of(tmp_path)
    gpu = stub.gpus[0]
    gpu.counter, gpu.low_mw, gpu.high_mw, gpu.period_ms = False, 100_000, 500_000, 2000
    stub.write()
    errors = []
    async with reader(stub, library, interval=1.5) as gpus:
        last = (await gpus.line())["gpus"][0]
        while not errors or (errors[-1] >= 0.02 and len(errors) < 3):
            first = last
            while last["at_seconds"] - first["at_seconds"] < 5.9:
                last = (await gpus.line())["gpus"][0]
            counted = last["energy"]["millijoules"] - first["energy"]["millijoules"]
            true = gpu.true_mj(last["at_seconds"]) - gpu.true_mj(first["at_seconds"])
            errors.append(abs(counted / true - 1))
    assert last["energy"]["method"] == "integrated"
    assert errors[-1] < 0.02, errors


async def test_a_missing_library_then_driver_then_gpu(library, tmp_path):
    """A missing library, an unloaded, a working and a broken driver are each reported and recovered from unaided."""
    late = tmp_path / "late"
    late.mkdir()
    linked = late / library.name
    linked.touch()  # an empty file, so that no library is found even on a machine with a driver
    stub = stub_of(tmp_path)
    stub.errors["nvmlInitWithFlags", "*"] = 9
    stub.write()
    async with reader(stub, linked) as gpus:
        line = await gpus.line()
        assert (line["reason"], line["needs_restart"]) == ("library_missing", False)
        new = late / "new"
        new.write_bytes(library.read_bytes())
        new.replace(linked)
        line = await gpus.until(reason("driver_missing"))
        assert "driver not loaded; install or load the NVIDIA driver" in line["detail"]
        stub.errors.clear()
        stub.write()
        await gpus.until(readable)
        stub.errors["*", "*"] = 999
        stub.write()
        line = await gpus.until(reason("driver_error"))
        assert line["needs_restart"] is True
        stub.errors["*", "*"] = 9
        stub.write()
        await gpus.until(reason("driver_missing"))
        stub.errors.clear()
        stub.order = [0]
        stub.write()
        line = await gpus.until(readable)
        assert line["needs_restart"] is False


async def test_a_new_index_order_keeps_the_uuids(library, tmp_path):
    """If the driver comes back with another index order, every UUID keeps its own figures."""
    stub = stub_of(tmp_path, 3)
    for slot, gpu in enumerate(stub.gpus):
        gpu.low_mw = 100_000 * (slot + 1)
    stub.write()
    async with reader(stub, library) as gpus:
        before = {gpu["gpu"]["uuid"]: gpu["power_watts"] for gpu in (await gpus.line())["gpus"]}
        stub.errors["*", "*"] = 9
        stub.write()
        await gpus.until(reason("driver_missing"))
        stub.errors.clear()
        stub.order = [2, 0, 1]
        stub.write()
        line = await gpus.until(readable)
        assert {gpu["gpu"]["uuid"]: gpu["power_watts"] for gpu in line["gpus"]} == before
        assert [gpu["power_watts"] for gpu in line["gpus"]] == [300.0, 100.0, 200.0]


async def test_a_hung_driver_is_timed_out_then_wedged_then_read(library, tmp_path):
    """A hung call is one timeout, then WEDGED immediately, then figures as soon as the driver answers."""
    stub = stub_of(tmp_path, 2)
    async with reader(stub, library, deadline=1.5) as gpus:
        await gpus.until(readable)
        stub.hangs["nvmlDeviceGetPowerUsage", 1] = 3600
        stub.write()
        await gpus.until(reason("timeout"))
        began = time.monotonic()
        line = await gpus.line()
        assert (line["reason"], time.monotonic() - began < 1.0) == ("wedged", True)
        assert "a call has been stuck in the driver" in line["detail"]
        stub.hangs.clear()
        stub.write()
        await gpus.until(readable)
        stub.hangs["*", "*"] = 3600
        stub.write()
        await gpus.until(reason("wedged"))  # and the process still exits: see `reader`


async def test_an_old_driver_lacks_functions(tmp_path):
    """An older library is read with the older functions; a figure without one is absent."""
    folder = tmp_path / "old"
    folder.mkdir()
    reasons, memory = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetMemoryInfo_v2"
    old = build(folder, missing=[reasons, memory, "nvmlDeviceGetFieldValues", "nvmlDeviceGetUtilizationRates"])
    stub = stub_of(tmp_path, 2)
    stub.gpus[0].mask = 0x8
    stub.gpus[1].product = "NVIDIA GH200 480GB"
    stub.write()
    async with reader(stub, old) as gpus:
        await gpus.line()
        line = await gpus.line()
    gpu, superchip = line["gpus"]
    assert gpu["memory_used_bytes"] == (60 << 30) + (512 << 20)  # the older call includes the driver's reserve
    assert gpu["throttled"]["hw_slowdown"] is True
    assert (gpu["utilization_ratio"], gpu["power_watts"]) == (None, 400.0)
    assert "Function Not Found (NVML code 13)" in line["notes"][0]
    assert superchip["energy"]["scope"] == "module"


BOARDS = [
    ({"product": "NVIDIA H100 80GB HBM3", "module": True, "gpu_share_percent": 50}, "gpu"),
    ({"product": "NVIDIA GH200 480GB", "module": True, "gpu_share_percent": 60}, "module"),
    ({"product": "NVIDIA GB200", "module": True, "gpu_share_percent": 100}, "module"),
    ({"product": "NVIDIA GB200", "module": False, "gpu_share_percent": 100}, "gpu"),
    ({"product": "NVIDIA GH200 480GB", "module": False, "gpu_share_percent": 60}, "module"),
]


async def test_superchips_are_module_scope_unless_shown_otherwise(library, tmp_path):
    """A superchip's energy is module scope, unless only the GPU-scope field matches the counter."""
    stub = stub_of(tmp_path, len(BOARDS))
    stub.gpus = [replace(gpu, **board) for gpu, (board, _) in zip(stub.gpus, BOARDS, strict=True)]
    stub.write()
    async with reader(stub, library) as gpus:
        line = await gpus.line()
    assert [gpu["energy"]["scope"] for gpu in line["gpus"]] == [scope for _, scope in BOARDS]


async def test_a_product_name_that_is_not_utf8(library, tmp_path):
    """A product name that is not UTF-8 is unknown, and every other figure is read."""
    stub = stub_of(tmp_path)
    stub.write()
    stub.path.write_bytes(stub.path.read_bytes().replace(b"NVIDIA H100", b"\xff\xfeVIDIA"))
    async with reader(stub, library) as gpus:
        line = await gpus.line()
    assert (line["gpus"][0]["gpu"]["product"], line["gpus"][0]["power_watts"]) == ("unknown", 400.0)


def test_an_idle_source_does_not_wake_up(library, tmp_path):
    """If every GPU has an energy counter, an idle source uses no CPU time."""
    stub = stub_of(tmp_path, 2)
    script = (
        "import asyncio, time\n"
        "from goodwatt.sources.gpu.source import gpu_source\n"
        "from goodwatt.settings.sources import GpusSection\n"
        "source = gpu_source(GpusSection())\n"
        "asyncio.run(source.read())\n"
        "def spent():\n"
        "    begun = time.process_time(); time.sleep(1); return time.process_time() - begun\n"
        "print(min(spent() for _ in range(3)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=stub.environ(library), capture_output=True, timeout=20, check=True
    )
    assert float(done.stdout) < 0.002
