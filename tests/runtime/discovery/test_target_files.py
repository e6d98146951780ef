"""Target files as they change on disk."""

import asyncio
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from goodwatt.config.load import parse
from goodwatt.config.plan import make_plan
from goodwatt.runtime.discovery.file_listing import TargetFileListing, read_target_files, target_file_problems
from goodwatt.runtime.discovery.target_files import TargetFiles
from goodwatt.settings.sources import DiscoverySection


def listing(before: TargetFileListing, *patterns: str) -> TargetFileListing:
    return read_target_files(patterns, before)


def names(found: TargetFileListing) -> list[str]:
    return [target.name for file in found.files.values() for target in file.targets]


def discovery(*patterns: str) -> tuple[DiscoverySection, ...]:
    text = f"server_discovery: [{{files: [{', '.join(repr(p) for p in patterns)}], timeout_seconds: 9}}]"
    return make_plan(parse(text)).discovery


def test_a_star_stands_for_files_of_one_folder(tmp_path: Path) -> None:
    """Matches are sorted; subfolders, other extensions and near matches are left out."""
    for name in ("b.yaml", "a.yaml", "a.yml", "xa.yaml.bak", "[c].yaml"):
        (tmp_path / name).write_text(f"- targets: ['{name[0].replace('[', 'c')}:1']")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.yaml").write_text("- targets: ['d:1']")
    assert names(listing(TargetFileListing(), f"{tmp_path}/*.yaml")) == ["c-1", "a-1", "b-1"]
    assert names(listing(TargetFileListing(), f"{tmp_path}/[c].yaml", f"{tmp_path}/[*.yaml")) == ["c-1"]


def test_a_file_is_opened_only_when_it_changed(tmp_path: Path) -> None:
    """An unchanged file keeps its record; a new version of the same length and a replaced file are detected."""
    path = tmp_path / "s.json"
    path.write_text('[{"targets": ["a:1"]}]')
    first = listing(TargetFileListing(), str(path))
    assert listing(first, str(path)).files[path] is first.files[path]
    time.sleep(0.02)  # the clock of file systems moves every 1 to 10 ms on Linux before 6.13
    path.write_text('[{"targets": ["b:1"]}]')
    os.utime(path, ns=(0, first.files[path].stamp[0]))  # type: ignore[index]
    second = listing(first, str(path))
    assert names(second) == ["b-1"]
    (tmp_path / "new").write_text('[{"targets": ["c:1"]}]')
    (tmp_path / "new").rename(path)
    assert names(listing(second, str(path))) == ["c-1"]


def test_a_swapped_symlink_is_a_new_version(tmp_path: Path) -> None:
    """Kubernetes updates the files of a ConfigMap this way."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "s.yaml").write_text(f"- targets: ['v{version}:1']")
    (tmp_path / "data").symlink_to("1")
    (tmp_path / "s.yaml").symlink_to("data/s.yaml")
    first = listing(TargetFileListing(), f"{tmp_path}/*.yaml")
    (tmp_path / "other").symlink_to("2")
    (tmp_path / "other").rename(tmp_path / "data")
    assert names(listing(first, f"{tmp_path}/*.yaml")) == ["v2-1"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"- targets: [", "a value is missing before this place"),
        (b"", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b" " * (1024 * 1024 + 1), "is larger than 1 MiB"),
    ],
)
def test_a_broken_version_keeps_the_last_good_one(tmp_path: Path, content: bytes, why: str) -> None:
    """An invalid version changes nothing until a valid one or the removal of the file."""
    path = tmp_path / "s.yaml"
    path.write_text("- targets: ['a:1']")
    good = listing(TargetFileListing(), str(path))
    path.write_bytes(content)
    broken = listing(good, str(path))
    assert names(broken) == ["a-1"] and why in broken.files[path].problems[0]
    path.write_text("- targets: ['b:1']")
    healed = listing(broken, str(path))
    assert names(healed) == ["b-1"] and healed.files[path].problems == ()
    path.unlink()
    assert listing(healed, str(path)).files == {}


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe, which would block forever, and a folder are rejected by name."""
    os.mkfifo(tmp_path / "p.yaml")
    (tmp_path / "d.yaml").mkdir()
    found = listing(TargetFileListing(), f"{tmp_path}/*.yaml")
    assert [file.problems for file in found.files.values()] == [
        (f"{tmp_path}/d.yaml: is not a regular file",),
        (f"{tmp_path}/p.yaml: is not a regular file",),
    ]


def test_an_unreadable_folder_keeps_the_known_servers(tmp_path: Path) -> None:
    """A path through a regular file is a file system error, not an empty folder."""
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "s.yaml").write_text("- targets: ['a:1']")
    first = listing(TargetFileListing(), f"{folder}/*.yaml", f"{tmp_path}/none/*.yaml", f"{tmp_path}/none.yaml")
    assert sorted(first.problems) == [f"{tmp_path}/none.yaml", f"{tmp_path}/none/*.yaml"]
    assert all("no file matches" in problem for problem in first.problems.values())
    (folder / "s.yaml").unlink()
    folder.rmdir()
    folder.write_text("now a file")
    second = listing(first, f"{folder}/*.yaml")
    assert "Not a directory; its last known servers stay" in second.problems[f"{folder}/*.yaml"]


async def test_candidates_take_the_settings_of_their_section(tmp_path: Path) -> None:
    """They have the section's timeout, cut to the interval, and the file as origin."""
    (tmp_path / "s.yaml").write_text("- targets: ['a:1']")
    sections, files = discovery(f"{tmp_path}/*.yaml"), TargetFiles()
    assert await files.refresh(sections)
    assert not await files.refresh(sections)
    (candidate,) = files.candidates(sections)
    assert (candidate.section.timeout_seconds, candidate.origin) == (3.75, f"{tmp_path}/s.yaml")
    assert not await files.refresh(()) and list(files.candidates(sections)) == []
    await files.aclose()


async def test_every_problem_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each version of a file and each missing file is logged once, and so is a recovery."""
    path, sections, files = tmp_path / "s.yaml", discovery(f"{tmp_path}/s.yaml", f"{tmp_path}/t.json"), TargetFiles()
    path.write_text("- targets: ['a:1']")
    with caplog.at_level(logging.INFO):
        await files.refresh(sections)
        path.write_text("\n".join(f"- targets: [{n}]" for n in range(15)))
        for _ in range(3):
            await files.refresh(sections)
        path.write_text("- targets: ['b:1']")
        for _ in range(2):
            await files.refresh(sections)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == f"server_discovery: no file matches {tmp_path}/t.json; it lists no servers until one exists"
    assert lines[1].endswith("s.yaml:1: [0].targets[0]: must be text such as '10.0.0.1:8000', not a number")
    assert lines[11:] == [
        "server_discovery: ... and 5 more",
        f"server_discovery: {path} is rejected; the 1 servers of its last good version stay",
        f"server_discovery: {path} is valid again",
    ]
    await files.aclose()


async def test_a_file_that_cannot_be_opened_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A symlink loop can never be opened; it is logged once."""
    (tmp_path / "s.yaml").symlink_to("t.yaml")
    (tmp_path / "t.yaml").symlink_to("s.yaml")
    sections, files = discovery(f"{tmp_path}/*.yaml"), TargetFiles()
    for _ in range(3):
        await files.refresh(sections)
    assert sum("symbolic links" in record.getMessage() for record in caplog.records) == 2  # two names
    await files.aclose()


async def test_a_hung_file_system_delays_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The read times out with the known servers, is logged once, and resumes when the file system responds."""
    (tmp_path / "s.yaml").write_text("- targets: ['a:1']")
    released, sections = threading.Event(), discovery(f"{tmp_path}/*.yaml")
    files = TargetFiles()
    await files.refresh(sections)
    patience, files._timeout_seconds = files._timeout_seconds, 0.05
    hung = asyncio.create_task(files._lane.call(released.wait))
    await asyncio.sleep(0)
    for _ in range(3):
        assert not await files.refresh(sections)
    assert [candidate.section.name for candidate in files.candidates(sections)] == ["a-1"]
    assert sum("does not respond" in record.getMessage() for record in caplog.records) == 1
    files._timeout_seconds = patience
    released.set()
    await hung
    (tmp_path / "s.yaml").write_text("- targets: ['b:1', 'c:1']")
    assert await files.refresh(sections)
    await files.aclose()


def test_check_lists_current_problems(tmp_path: Path) -> None:
    """Missing and invalid files are one line each; valid ones have none."""
    (tmp_path / "a.yaml").write_text("- targets: [")
    (tmp_path / "b.yaml").write_text("- targets: ['b:1']")
    first, second = target_file_problems(discovery(f"{tmp_path}/*.yaml", f"{tmp_path}/c.json"))
    assert "no file matches" in first and second.startswith(f"{tmp_path}/a.yaml:1: ")
    assert target_file_problems(()) == ()
