"""Adding an engine touches one YAML file and its captures. The example in CONTRIBUTING.md is run here as written."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns
from textwrap import dedent

from goodwatt.engines import load_profile
from goodwatt.engines.detection import detect_engine
from goodwatt.engines.page.reader import read_page
from goodwatt.model.engine import Outcome, Signal
from goodwatt.sources.engine.exposition import ExpositionParser
from tests.engines.golden import HERE, PROFILES, seen

ROOT = HERE.parents[1]
EXAMPLE = (ROOT / "CONTRIBUTING.md").read_text().partition("## An engine, from its page to figures")[2]
PAGE = EXAMPLE.partition("```\n")[2].partition("```")[0]
PROFILE = dedent(EXAMPLE.partition("```yaml\n")[2].partition("```")[0])
LISTED = "from goodwatt.engines import load_profiles; print(load_profiles()['toy'].title)"


def test_the_worked_example_gives_its_figures() -> None:
    """The example's page and profile give the stated figures, and no shipped profile matches the page."""
    profile = load_profile(PROFILE)
    assert detect_engine({**PROFILES, "toy": profile}, seen(PAGE)).engine == "toy"
    assert detect_engine(PROFILES, seen(PAGE)).engine is None
    reading = read_page(profile, ExpositionParser(profile.all_sample_names()).parse(PAGE), server="s", at_seconds=0.0)
    assert {(key.signal, key.outcome): value for key, value in reading.counters.items()} == {
        (Signal.PROMPT_TOKENS, None): 100,
        (Signal.GENERATED_TOKENS, None): 40,
        (Signal.REQUESTS, Outcome.SUCCESS): 3,
        (Signal.REQUESTS, Outcome.CANCELLED): 1,
    }
    ((key, histogram),) = reading.histograms.items()
    assert (key.signal, key.model) == (Signal.TTFT, "m")
    assert (histogram.edges, histogram.counts, histogram.count) == ((0.25,), (2,), 4)
    stated = (
        "100 prompt tokens, 40 generated, 3 requests that succeeded and 1 cancelled, 2 of 4 first tokens within 0.25 s"
    )
    assert stated in " ".join(EXAMPLE.split())


def test_an_engine_is_one_file_and_its_captures(tmp_path: Path) -> None:
    """In a copy of the tree, the new profile and its page suffice: the golden reading is written, no file is edited."""
    for folder in ("exporter/goodwatt", "tests/engines"):
        copytree(ROOT / folder, tmp_path / folder, ignore=ignore_patterns("__pycache__"))
    (tmp_path / "tests/__init__.py").touch()
    before = _files(tmp_path)
    (tmp_path / "exporter/goodwatt/engines/toy.yaml").write_text(PROFILE)
    capture = tmp_path / "tests/engines/toy/1.0/captured.prom"
    capture.parent.mkdir(parents=True)
    capture.write_text(PAGE)
    _python(tmp_path, "-m", "tests.engines.golden")
    assert _python(tmp_path, "-c", LISTED) == "Toy\n"
    after = _files(tmp_path)
    assert {path for path in after if after[path] != before.get(path)} == {
        "exporter/goodwatt/engines/toy.yaml",
        "tests/engines/toy/1.0/captured.prom",
        "tests/engines/toy/1.0/captured.json",
    }


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _python(root: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{root / 'exporter'}:{root}", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout
