"""What an installed goodwatt consists of."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from goodwatt.publish.page.assets import ASSETS

ROOT = Path(__file__).parents[2]


@pytest.mark.deploy
def test_the_files_of_the_page_are_in_the_wheel(tmp_path: Path) -> None:
    """A wheel that pip builds has script, style and icon of the page, byte for byte, and the engines' profiles."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path))
    command = [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for asset in ASSETS:
            assert archive.read(f"goodwatt/publish/page/{asset.path.removeprefix('/-/')}") == asset.body
        assert "goodwatt/engines/vllm.yaml" in archive.namelist()
