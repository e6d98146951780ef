import math
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from goodwatt.engines.page.reader import read_page
from goodwatt.engines.page.samples import LabelPairs, PageSamples
from goodwatt.sources.engine.exposition import (
    MAX_EXACT_COUNT,
    MAX_LINE_CHARACTERS,
    ExpositionParser,
    labelled_names,
    metric_names,
)
from tests.engines.golden import HERE, PAGES, PROFILES, engine_of

TEXTS = {str(page.relative_to(HERE)): page.read_text() for page in PAGES}


def scan(text: str, *wanted: str) -> PageSamples:
    return ExpositionParser(frozenset(wanted or ("m",))).parse(text)


def value(text: str) -> float | None:
    """The value of metric m, or None if its line was dropped."""
    page = scan(text)
    assert page.dropped_lines == (0 if page.samples else 1)
    return next((v for series in page.samples.values() for v in series.values()), None)


def oracle(text: str) -> dict[str, dict[LabelPairs, float]]:
    """Every sample as prometheus_client reads it, without the _total that it adds to counter names."""
    untyped = re.sub(r"^# TYPE \S+ counter$", "#", text, flags=re.MULTILINE)
    families = parse_openmetrics(text) if text.endswith("# EOF\n") else parse_text(untyped)
    found: dict[str, dict[LabelPairs, float]] = {}
    for sample in (sample for family in families for sample in family.samples):
        labels = tuple(sorted(sample.labels.items()))
        found.setdefault(sample.name, {}).setdefault(labels, sample.value)
    return found


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_agrees_with_prometheus_client(name: str) -> None:
    """On every captured page the samples equal those of prometheus_client's parser, with no line dropped."""
    text = TEXTS[name]
    wanted = PROFILES[engine_of(HERE / name)].all_sample_names()
    page = ExpositionParser(wanted).parse(text)
    assert page.samples == {metric: series for metric, series in oracle(text).items() if metric in wanted}
    assert page.dropped_lines == 0
    assert page.damaged == frozenset()


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_names_agree_with_prometheus_client(name: str) -> None:
    """On every captured page the names equal prometheus_client's, apart from a suffix that it adds."""
    ours, theirs = metric_names(TEXTS[name]), oracle(TEXTS[name])
    assert {one.removesuffix("_total") for one in ours} == {one.removesuffix("_total") for one in theirs}


def test_caching_changes_no_result() -> None:
    """The parser's label cache changes no result on this page or another."""
    text, other = TEXTS["vllm/0.32.0/after.prom"], TEXTS["vllm/0.33.0/generated.prom"]
    parser = ExpositionParser(PROFILES["vllm"].all_sample_names())
    first = parser.parse(text)
    parser.parse(other)
    assert parser.parse(text) == first


def test_memory_is_bounded() -> None:
    """Labels that never return do not accumulate in the parser."""
    parser = ExpositionParser(frozenset({"m"}))
    for start in range(0, 30_000, 1000):
        parser.parse("".join(f'm{{i="{i}"}} 1\n' for i in range(start, start + 1000)))
    assert len(parser._labels) <= 9192


@pytest.mark.parametrize(
    ("line", "labels", "number"),
    [
        ("m 5", {}, 5.0),
        ("m\t5", {}, 5.0),
        ("  m 5", {}, 5.0),
        ("m{} 5", {}, 5.0),
        ("m{ } 5", {}, 5.0),
        ('m{a="b"} 5', {"a": "b"}, 5.0),
        ('m{a="b",} 5', {"a": "b"}, 5.0),
        ('m { a = "b" , c = "d" } 5', {"a": "b", "c": "d"}, 5.0),
        ('m{c="d",a="b"} 5', {"a": "b", "c": "d"}, 5.0),
        ('m{a="b"}5', {"a": "b"}, 5.0),
        ('m{a="b"} 5 1795484991000', {"a": "b"}, 5.0),
        ('m{a="b"} 5 # {trace_id="x"} 0.5 1.5', {"a": "b"}, 5.0),
        ('m 5 # {trace_id="x"} 0.5', {}, 5.0),
        ('m{a="} 7 # {"} 5', {"a": "} 7 # {"}, 5.0),
        ('m{a="} 7 # {"} 5 # {b="}"} 1', {"a": "} 7 # {"}, 5.0),
        (r'm{a="x\"y\\z\nw\q"} 5', {"a": 'x"y\\z\nw\\q'}, 5.0),
        (r'm{a="\\"} 5', {"a": "\\"}, 5.0),
        ('m{a=""} 5', {"a": ""}, 5.0),
        ('m{a="é ✓"} 5', {"a": "é ✓"}, 5.0),
        ('m{a="x\u2028y\x0bz"} 5', {"a": "x\u2028y\x0bz"}, 5.0),
        ('m{a="b"} 5\r', {"a": "b"}, 5.0),
        ("m 5.", {}, 5.0),
        ("m .5", {}, 0.5),
        ("m +5e-1", {}, 0.5),
        ("m 1.5E3", {}, 1500.0),
        ("m -0", {}, 0.0),
        (f"m {MAX_EXACT_COUNT}", {}, MAX_EXACT_COUNT),
    ],
)
def test_good_lines(line: str, labels: dict[str, str], number: float) -> None:
    """Every line that either format allows is read."""
    assert scan(line + "\n") == PageSamples({"m": {tuple(sorted(labels.items())): number}})


@pytest.mark.parametrize(
    "line",
    [
        "m",
        "m ",
        "m{",
        "m{}",
        "m{}}",
        'm{a="b"}',
        'm{a="b" 5',
        'm{a="b} 5',
        "m{a=b} 5",
        'm{a="b"c="d"} 5',
        'm{a="b",,} 5',
        "m{,} 5",
        'm{="b"} 5',
        'm{a="1",a="2"} 5',
        'm{a="b"} five',
        "m NaN",
        "m nan",
        "m +Inf",
        "m -Inf",
        "m Infinity",
        "m -1",
        "m -1e-9",
        "m 1e301",
        "m 1e999",
        "m 1_000",
        "m 0x10",
        "m ٣",
        "m 5,0",
        f"m {MAX_EXACT_COUNT * 2}",
        'm{a="' + "x" * MAX_LINE_CHARACTERS + '"} 5',
        "m " + "1" * MAX_LINE_CHARACTERS,
        "m" + " " * MAX_LINE_CHARACTERS + "5",
    ],
)
def test_bad_lines(line: str) -> None:
    """An invalid line is dropped and counted, and the next line is read."""
    page = scan(f'{line}\nn{{a="b"}} 1\n', "m", "n")
    assert page == PageSamples({"n": {(("a", "b"),): 1.0}}, frozenset({"m"}), 1)
    assert page.has("m")
    assert page.has("n")
    assert not page.has("x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "# EOF\n",
        "# HELP m text\n# TYPE m counter\n",
        "# m 5\n",
        "#m 5\n",
        'mm{a="b"} 5\n',
        "mm 5\n",
        "{} 5\n",
        '{"m"} 5\n',
        "m_created 1.7e9\n",
    ],
)
def test_lines_that_are_not_wanted(text: str) -> None:
    """Comments, types, `_created` and other metrics are skipped and not counted."""
    assert scan(text) == PageSamples({})


def test_types_may_be_missing_or_wrong() -> None:
    """Samples are read whether TYPE is right, wrong or missing."""
    assert (
        scan("# TYPE m histogram\nm 5\n").samples == scan("m 5\n").samples == scan("# TYPE m_x counter\nm 5\n").samples
    )


def test_repeated_series() -> None:
    """If a series occurs twice, in any label order, the first value counts and the repeat is counted as dropped."""
    page = scan('m{a="1",b="2"} 5\nm{b="2",a="1"} 6\nm{a="1"} 7\n')
    assert page == PageSamples({"m": {(("a", "1"), ("b", "2")): 5.0, (("a", "1"),): 7.0}}, frozenset(), 1)


def test_truncated_page() -> None:
    """A last line without a newline may lack digits, so it is dropped and the page is marked as cut."""
    assert scan("n 1\nm 12", "m", "n") == PageSamples({"n": {(): 1.0}}, frozenset({"m"}), 1, cut=True)
    assert scan('n 1\nm{a="b"} 12', "m", "n") == PageSamples({"n": {(): 1.0}}, frozenset({"m"}), 1, cut=True)
    assert scan("n 1\n# EOF", "n") == scan("n 1\n# EOF\n", "n") == PageSamples({"n": {(): 1.0}})


def test_ten_megabyte_line() -> None:
    """A single 10 MB line is cheap and harmless."""
    huge = "x" * 10_000_000
    for line in (huge, f'm{{a="{huge}"}} 5', f"m {huge}", '{"' * 5_000_000):
        page = scan(f"{line}\nn 1\n", "m", "n")
        assert page.samples == {"n": {(): 1.0}}
        assert "n" in metric_names(f"{line}\nn 1\n")


def test_binary() -> None:
    """Binary data gives no sample and no exception."""
    garbage = bytes(range(256)) * 40
    assert scan(garbage.decode("utf-8", "replace")).samples == {}


def test_names_are_those_of_samples() -> None:
    """HTML, JSON, comments and prose give no metric names; samples with any value do."""
    assert metric_names('<html>\n{"a": 1}\n# HELP a b\nHello world\na b\nc\n_x\n9a 1\n') == frozenset()
    assert metric_names('a NaN\nb{c="d"} +Inf\nc:d 1 2\ne{ 5\n') == {"a", "b", "c:d"}


mutations = st.lists(
    st.tuples(
        st.integers(0, 60_000),
        st.integers(0, 12),
        st.text(max_size=6) | st.sampled_from(['"', "{", "}", "\\", "\n", " ", "#", "NaN", "-", "e9", "le="]),
    ),
    max_size=8,
)


def test_labelled_names() -> None:
    """A metric is listed with each label on any of its lines; comments and malformed lines add nothing."""
    text = 'a{x="1",y="2"} 1\na{z="}"} 2\nb 1\nc{} 1\nd{x=} 1\n# e{x="1"} 1\nf{x="1" 1\n9{x="1"} 1\n'
    assert labelled_names(text) == {"a{x}", "a{y}", "a{z}"}
    assert labelled_names('a{x="' + "y" * MAX_LINE_CHARACTERS + '"} 1\n') == frozenset()


@settings(max_examples=120, deadline=None)
@given(name=st.sampled_from(sorted(TEXTS)), changes=mutations)
def test_mutated_pages(name: str, changes: list[tuple[int, int, str]]) -> None:
    """A mutated real page never raises and gives only finite values."""
    text = TEXTS[name]
    for at, removed, inserted in changes:
        text = text[:at] + inserted + text[at + removed :]
    profile = PROFILES[engine_of(HERE / name)]
    reading = read_page(profile, ExpositionParser(profile.all_sample_names()).parse(text), server="s", at_seconds=0.0)
    metric_names(text)
    figures = [*reading.counters.values(), *reading.gauges.values()]
    for histogram in reading.histograms.values():
        figures += [*histogram.counts, histogram.count, *histogram.edges, histogram.sum or 0.0]
        assert list(histogram.counts) == sorted(histogram.counts)
        assert list(histogram.edges) == sorted(set(histogram.edges))
        assert not histogram.counts or histogram.counts[-1] <= histogram.count
    assert all(math.isfinite(figure) and figure >= 0 for figure in figures)


@settings(max_examples=300, deadline=None)
@given(text=st.text(alphabet=st.sampled_from('m{}a="b\\,# 5.eE+-\t\r\nInfNaN_') | st.characters(), max_size=60))
@example(text='m{a="b"')
@example(text='m{a="b"5')
def test_any_text(text: str) -> None:
    """Arbitrary text never raises, and every value kept is valid."""
    page = scan(text)
    metric_names(text)
    assert all(0 <= v <= MAX_EXACT_COUNT for v in page.samples.get("m", {}).values())


label_values = st.text(max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    labels=st.dictionaries(st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True), label_values, max_size=4),
    number=st.floats(0, 1e15),
)
def test_round_trip(labels: dict[str, str], number: float) -> None:
    """Any labels and any valid number, formatted as specified, are read back exactly."""
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    inside = ",".join(f'{k}="{v}"' for k, v in escaped.items())
    assert scan(f"m{{{inside}}} {number!r}\n") == PageSamples({"m": {tuple(sorted(labels.items())): number}})
