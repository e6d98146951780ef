"""ExpositionPages as bytes: the golden ones, both parsers, and any text in a label."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from goodwatt.model.snapshot import Snapshot
from goodwatt.publish.exposition import writer
from goodwatt.publish.exposition.collector import SnapshotCollector, snapshot_registry
from goodwatt.publish.exposition.formats import ExpositionFormat, render
from goodwatt.publish.metrics.row import Kind, Metric
from tests.fakes.snapshots import after, gpus, page, snapshot
from tests.publish.pages import ABOUT, ROWS, WRITERS, parsed, rendered, small
from tests.publish.regenerate import golden

forms = pytest.mark.parametrize("form", WRITERS)
anything = st.text(max_size=20)
THEIRS = {"text": generate_latest, "openmetrics": generate_openmetrics}


class Families:
    """Fixed families, as a registry gives them."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Family]:
        return self._families


def families(s: Snapshot) -> Families:
    return Families(list(SnapshotCollector(ROWS, lambda: s).collect()))


@forms
def test_golden_page(form: str) -> None:
    """The page of a small snapshot is the golden one, byte for byte. `python -m tests.publish.regenerate` renews it."""
    assert rendered(small(), form) == golden(form).read_text("utf-8")


@forms
def test_own_writer_equals_prometheus_client(form: str) -> None:
    """Our writer's bytes are those of prometheus_client, for a full picture and for hostile names."""
    for s in (snapshot(8), snapshot(1, ["a\\b"], model='x"}\n# EOF\\n'), small()):
        found = families(s)
        assert WRITERS[form][0](found.collect()) == THEIRS[form](found)


@forms
@given(text=anything, help_text=anything, number=st.floats())
def test_own_writer_equals_prometheus_client_on_anything(form: str, text: str, help_text: str, number: float) -> None:
    """Any label value, help text and number comes out as prometheus_client writes it."""
    row = Metric("a_total", Kind.COUNTER, "", help_text, ("b", "a"), lambda _: [((text, "x"), number)])
    found = Families(list(SnapshotCollector([row], small).collect()))
    assert WRITERS[form][0](found.collect()) == THEIRS[form](found)


@forms
def test_both_parsers_read_the_page(form: str) -> None:
    """Each format is read by prometheus_client's parser, to the same series and values."""
    s = small()
    assert dict(parsed(rendered(s, form), form)) == dict(parsed(rendered(s)))


def test_openmetrics_ends_with_eof() -> None:
    """OpenMetrics ends with # EOF; text does not."""
    assert rendered(small(), "openmetrics").endswith("\n# EOF\n")
    assert "# EOF" not in rendered(small())


def test_no_created_series() -> None:
    """No page has _created series."""
    assert "_created" not in rendered(small()) + rendered(small(), "openmetrics")


@forms
@given(server=anything, model=anything)
def test_any_name_survives(form: str, server: str, model: str) -> None:
    """Any name of a server or model survives rendering and parsing."""
    ticks = [{f"server/{server}": page(server, tick, model)} for tick in range(2)]
    found = parsed(rendered(after(ticks), form), form)
    labels = [dict(has) for (name, has), _ in found if name == "goodwatt_generated_tokens_total"]
    assert labels == [{"server": server, "model": model}]


@given(
    models=st.lists(anything, min_size=2, max_size=3, unique=True), servers=st.lists(anything, max_size=2, unique=True)
)
def test_no_series_twice(models: list[str], servers: list[str]) -> None:
    """No page repeats a series, whatever the names of servers and models."""
    ticks = [
        {"nvml": gpus(2, tick)} | {f"server/{s}": page(s, tick, m) for s, m in zip(servers, models, strict=False)}
        for tick in range(3)
    ]
    found = [series for series, _ in parsed(rendered(after(ticks)))]
    assert len(found) == len(set(found))


def test_a_lone_surrogate_is_replaced() -> None:
    """A lone surrogate in a name is replaced, and the rest of the page is unaffected."""
    s = snapshot(1, ["s"], model="a\ud800b")
    assert 'model="a?b"' in rendered(s)


def test_promtool_finds_nothing() -> None:
    """promtool reports nothing about the metrics' names, types and help texts."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus (Debian, Ubuntu), which brings it"
    for s in (small(), snapshot(8)):
        text = render(s, ROWS)
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
        assert (done.returncode, done.stdout.decode() + done.stderr.decode()) == (0, "")


def test_registry_is_our_own() -> None:
    """Two registries coexist, each with the process_* families; neither is global."""
    for _ in range(2):
        found = {family.name for family in snapshot_registry(ROWS, small).collect()}
        assert {"goodwatt_generated_tokens", "process_cpu_seconds"} <= found


def test_describe_names_every_family() -> None:
    """describe() lists every family that can be collected, and needs no snapshot."""
    collector = SnapshotCollector(ROWS, lambda: None)
    described = {family.name for family in collector.describe()}
    assert {family.name for family in SnapshotCollector(ROWS, small).collect()} <= described
    assert list(collector.collect()) == []


def test_render_has_the_process_families() -> None:
    """A page rendered for the terminal is the same as a scrape."""
    assert b"process_resident_memory_bytes" in render(small(), ROWS)
    assert render(small(), ROWS, ExpositionFormat.OPENMETRICS).endswith(b"# EOF\n")
    assert ABOUT.version.encode() in render(small(), ROWS)


def test_writers_of_nothing() -> None:
    """Without families the text page is empty and the OpenMetrics page is only its end mark."""
    assert writer.write_text([]) == b""
    assert writer.write_openmetrics([]) == b"# EOF\n"
