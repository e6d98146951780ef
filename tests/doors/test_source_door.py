"""The door for a source: its section in settings/sources.py, one module in sources/, one arm in sources/open.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.package_copy import changed_files, copy_of_package

SECTION = '''class ToySection(SourceSection):
    """A GPU whose power is known from its data sheet."""

    watts: float = Field(gt=0, description="Power of the GPU.")


class SourceKeys(Section):
'''
KEY = """
    toy: ToySection | None = Field(None, description="A GPU of known power. Absent: none.")
"""
SOURCE = '''"""A GPU of known power."""

from goodwatt.model.gpu import Gpu, GpuReading, GpusReading
from goodwatt.model.source import SourceId, SourceKind
from goodwatt.settings.sources import ToySection


class ToySource:
    """Reports one GPU."""

    id = SourceId(SourceKind.GPUS, "toy")
    deadline_seconds = 1.0

    def __init__(self, section: ToySection, clock) -> None:
        self._watts = section.watts
        self._clock = clock

    async def read(self) -> GpusReading:
        """Return the power that the section gives."""
        gpu = Gpu(uuid="GPU-toy", index=0, product="Toy", driver="1")
        power = {"power_watts": self._watts}
        return GpusReading((GpuReading(gpu=gpu, at_seconds=self._clock(), quantities=power),))

    async def aclose(self) -> None:
        """Hold nothing open."""
'''
IMPORT = """
from goodwatt.settings.sources import ToySection
from goodwatt.sources.toy import ToySource
"""
ARM = """        case ToySection():
            return ToySource(section, context.clock)
        case ServerSection():
"""
CONFIG = "gpus: {kind: none}\nservers: []\ntoy: {watts: 300}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with one more source."""
    copy = copy_of_package(tmp_path)
    settings, arms = copy / "goodwatt/settings/sources.py", copy / "goodwatt/sources/open.py"
    settings.write_text(_replaced(settings.read_text(), "class SourceKeys(Section):\n", SECTION) + KEY)
    arms.write_text(_replaced(arms.read_text(), "        case ServerSection():\n", ARM))
    arms.write_text(_replaced(arms.read_text(), "\nimport time\n", f"\nimport time\n{IMPORT}"))
    (copy / "goodwatt/sources/toy.py").write_text(SOURCE)
    return copy


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def goodwatt(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-B", "-m", "goodwatt", *arguments]
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_source_is_one_added_module_and_two_changed_ones(tree: Path, tmp_path: Path) -> None:
    """It is read, published with its own `source` label, and its section is validated like every other."""
    assert changed_files(tree) == ["settings/sources.py", "sources/open.py", "sources/toy.py"]
    file = tmp_path / "goodwatt.yaml"
    file.write_text(CONFIG)
    done = goodwatt(tree, "once", "--config", str(file))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    up = [line for line in lines if line.startswith("goodwatt_source_up{")]
    assert up == ['goodwatt_source_up{source="toy"} 1.0']
    assert 'goodwatt_gpu_power_watts{gpu="0",uuid="GPU-toy"} 300.0' in lines
    file.write_text(CONFIG.replace("watts: 300", "wats: 300"))
    refused = goodwatt(tree, "check", "--config", str(file))
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"{file}:3: toy: the key 'watts' is missing; add it",
        f"{file}:3: toy: unknown key 'wats'; did you mean 'watts'?",
    ]
