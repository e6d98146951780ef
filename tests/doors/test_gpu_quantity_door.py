"""The door for a GPU quantity: one row in model/gpu_quantities.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.package_copy import changed_files, copy_of_package
from tests.fakes.nvml_stub import build, stub_of

ROOT = Path(__file__).parents[2]
TABLE = "GPU_QUANTITIES = (\n"
FUNCTION = """
    GpuQuantity(
        name="memory_clock_hertz",
        call=DriverCall("memory_clock", NvmlFunction("nvmlDeviceGetClockInfo", (2,))),
        value=lambda megahertz: megahertz * 1e6,
        plausible=(0, 10e9),
        unit="hertz",
        help="Clock of the GPU's memory.",
    ),
"""
FIELD = """
    GpuQuantity(
        name="memory_temperature_celsius",
        call=DriverCall("memory_temperature", NvmlField(82)),
        plausible=(-50, 150),
        unit="celsius",
        help="Temperature of the GPU's memory.",
    ),
"""
COUNTER = """
    GpuQuantity(
        name="ecc_errors_total",
        call=DriverCall("ecc_errors", NvmlFunction("nvmlDeviceGetTotalEccErrors", (1, 1))),
        plausible=(0, 2**32),
        unit="errors",
        help="Uncorrected memory errors.",
    ),
"""
READ = """
import asyncio
from goodwatt.derive.state import State
from goodwatt.derive.step import step
from goodwatt.model.policy import Policy
from goodwatt.model.source import NVML_SOURCE, SourceResult
from goodwatt.publish.reference import reference
from goodwatt.settings.sources import GpusSection
from goodwatt.sources.gpu.source import gpu_source
from tests.publish.pages import rendered

reading = asyncio.run(gpu_source(GpusSection()).read())
assert not reading.notes, reading.notes
_, snapshot = step(State(), [SourceResult(NVML_SOURCE, 0.001, reading)], Policy(), 5.0, unix=1.7e9)
print(rendered(snapshot), reference())
"""


@pytest.mark.parametrize(
    ("row", "series", "kind"),
    [
        (FUNCTION, "goodwatt_gpu_memory_clock_hertz", "gauge"),
        (FIELD, "goodwatt_gpu_memory_temperature_celsius", "gauge"),
        (COUNTER, "goodwatt_gpu_ecc_errors_total", "counter"),
    ],
)
def test_one_row_is_a_gpu_quantity(tmp_path: Path, row: str, series: str, kind: str) -> None:
    """A row for an NVML function or field is read from the driver, published and documented; one file changes."""
    tree = copy_of_package(tmp_path)
    table = tree / "goodwatt" / "model" / "gpu_quantities.py"
    assert table.read_text().count(TABLE) == 1
    table.write_text(table.read_text().replace(TABLE, TABLE + row))
    assert changed_files(tree) == ["model/gpu_quantities.py"]

    stub = stub_of(tmp_path, 2)
    environment = stub.environ(build(tmp_path)) | {"PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}
    command = [sys.executable, "-P", "-c", READ]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    published = [line for line in ran.stdout.splitlines() if line.startswith(f"{series}{{")]
    value = {FUNCTION: 2.619e9, FIELD: 70.0, COUNTER: 0.0}[row]
    assert [float(line.rpartition(" ")[2]) for line in published] == [value, value]
    _, _, entry = ran.stdout.partition(f"### `{series}`\n")
    assert f"* Kind: {kind}\n" in entry.partition("###")[0]
