"""The wheel installs one package, which works without a checkout."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from goodwatt.publish.page.assets import ASSETS
from grafana.files import rendered

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def ran(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Return the standard output of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=cwd, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    ran(sys.executable, "-m", "pip", "wheel", *options, ROOT, GOODWATT_COMMIT=COMMIT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    ran(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


@pytest.fixture(scope="module")
def build_hooks() -> ModuleType:
    spec = spec_from_file_location("hatch_build", ROOT / "deploy" / "wheel" / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contents(wheel: Path) -> dict[str, bytes]:
    """Return a wheel's files by path, except RECORD, where their order may differ."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def goodwatt(installed: Path, *arguments: object) -> str:
    """Run the installed package, not the checkout."""
    program = f"import sys; sys.path.insert(0, {str(installed)!r}); from goodwatt.cli import entry; entry()"
    return ran(sys.executable, "-P", "-c", program, *arguments)


def test_it_installs_one_package(installed: Path) -> None:
    """Nothing but `goodwatt`, its metadata and its script reaches site-packages."""
    names = {path.name for path in installed.iterdir()}
    assert names == {"goodwatt", "bin", *(path.name for path in installed.glob("goodwatt-*.dist-info"))}
    assert [script.name for script in (installed / "bin").iterdir()] == ["goodwatt"]


def test_its_contents_are_clean(wheel: Path) -> None:
    """check-wheel-contents finds no duplicate, stray or misplaced file."""
    assert ran(sys.executable, "-m", "check_wheel_contents", "--no-config", wheel) == f"{wheel}: OK\n"


def test_it_has_the_files_of_the_page_and_the_engines(installed: Path) -> None:
    """Script, style and icon of the landing page are there byte for byte, and every engine's profile."""
    for asset in ASSETS:
        assert (installed / "goodwatt/publish/page" / asset.path.removeprefix("/-/")).read_bytes() == asset.body
    shipped = {file.name for file in (ROOT / "exporter/goodwatt/engines").glob("*.yaml")}
    assert {file.name for file in (installed / "goodwatt/engines").glob("*.yaml")} == shipped


def test_it_writes_its_dashboards(installed: Path, tmp_path: Path) -> None:
    """`goodwatt dashboards --output DIR` writes the five dashboards of this repository."""
    goodwatt(installed, "dashboards", "--output", tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == rendered()


def test_it_has_the_rules_and_the_runbooks(installed: Path) -> None:
    """The default rules and the runbooks are those of this repository, found by the same module as in a checkout."""
    program = (
        f"import json, sys; sys.path.insert(0, {str(installed)!r}); from goodwatt import shipped_files as found; "
        "print(json.dumps([*map(str, found.rule_files().values()), str(found.runbooks())]))"
    )
    files = [Path(path) for path in json.loads(ran(sys.executable, "-P", "-c", program))]
    assert all(file.is_relative_to(installed) for file in files)
    checkout = [*sorted((ROOT / "deploy/prometheus").glob("*.rules.yml")), ROOT / "docs/runbooks.md"]
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in checkout]


def test_it_knows_its_commit(installed: Path) -> None:
    """`goodwatt --version` prints the version, the short commit that the build was given, and the Python."""
    python = sys.version.split()[0]
    assert goodwatt(installed, "--version") == f"goodwatt 0.1.0 (commit {COMMIT[:7]}, Python {python})\n"


def test_its_description_has_no_relative_link(installed: Path) -> None:
    """Every link of the README works on a package index, and the metadata name the project's pages and authors."""
    (file,) = installed.glob("goodwatt-*.dist-info/METADATA")
    metadata = HeaderParser().parsestr(file.read_text())
    links = re.findall(r"\]\(([^)\s]*)", metadata.get_payload())
    assert len(links) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Author"] == "goodwatt authors"
    urls = [url.split(", ")[0] for url in metadata.get_all("Project-URL")]
    assert sorted(urls) == ["Changelog", "Documentation", "Homepage", "Repository"]


def test_an_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """A source archive holds all that the wheel needs, its commit included, without git."""
    build = "import sys; from hatchling import build; build.build_{}(sys.argv[1])"
    ran(sys.executable, "-c", build.format("sdist"), tmp_path, cwd=ROOT, GOODWATT_COMMIT=COMMIT)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path, filter="data")
    ran(sys.executable, "-c", build.format("wheel"), tmp_path, cwd=tmp_path / archive.name.removesuffix(".tar.gz"))
    (rebuilt,) = tmp_path.glob("*.whl")
    assert contents(rebuilt) == contents(wheel)


def test_links_become_absolute(build_hooks: ModuleType) -> None:
    """Files are shown, pictures are served raw; absolute links and links within the page stay as they are."""
    markdown = "[a](docs/a.md#b) ![c](docs/c.png) [d](https://d.example/) [e](#e)"
    absolute = build_hooks.with_absolute_links(markdown, "https://h.example/g")
    assert absolute == (
        "[a](https://h.example/g/blob/main/docs/a.md#b) ![c](https://h.example/g/raw/main/docs/c.png) "
        "[d](https://d.example/) [e](#e)"
    )


def test_the_commit_is_git_s_unless_given(
    build_hooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from GOODWATT_COMMIT or git; outside a checkout, or for a malformed value, it is None."""
    monkeypatch.delenv("GOODWATT_COMMIT", raising=False)
    assert build_hooks.commit_of(tmp_path) is None
    for command in (
        ("init", "-q"),
        ("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "m", "--allow-empty"),
    ):
        ran("git", "-C", tmp_path, *command)
    assert build_hooks.commit_of(tmp_path) == ran("git", "-C", tmp_path, "rev-parse", "HEAD")[:7]
    monkeypatch.setenv("GOODWATT_COMMIT", "unknown")
    assert build_hooks.commit_of(tmp_path) is None
    monkeypatch.setenv("GOODWATT_COMMIT", COMMIT)
    assert build_hooks.commit_of(tmp_path) == COMMIT[:7]


def test_a_build_without_its_dashboards_fails(build_hooks: ModuleType, tmp_path: Path) -> None:
    """A source tree that lacks what the wheel ships is an error, not a wheel without it."""
    with pytest.raises(FileNotFoundError, match="grafana/dashboards"):
        build_hooks.shipped_files(tmp_path)
