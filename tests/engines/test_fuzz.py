"""Damaged pages: reading any input never fails and never counts anything twice."""

import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodwatt.derive.counters import counter_increases, histogram_increases
from goodwatt.engines.detection import detect_engine
from goodwatt.model.engine import EngineReading
from goodwatt.sources.engine.exposition import MAX_EXACT_COUNT
from tests.engines.golden import PAGES, PROFILES, engine_of, reading_of, seen

TEXTS = {page: page.read_text() for page in PAGES if page.stat().st_size < 60_000}
IDS = [f"{page.parents[1].name}/{page.parent.name}/{page.stem}" for page in TEXTS]
ALPHABET = 'abz_:{}=",.#\\ \t\r\n0123456789+-eEinfNaN\x00é'
ROUNDS = 25
BAD_VALUES = ("NaN", "-1", "+Inf", "1e400", "0x10", "", "1_0", "9" * 400)


def assert_valid(reading: EngineReading) -> None:
    """Check the invariants of every reading."""
    values = [*reading.counters.values(), *reading.gauges.values()]
    for histogram in reading.histograms.values():
        values += [*histogram.edges, *histogram.counts, histogram.count]
        assert list(histogram.counts) == sorted(histogram.counts)
        assert not histogram.counts or histogram.counts[-1] <= histogram.count
        assert list(histogram.edges) == sorted(set(histogram.edges))
    assert all(math.isfinite(value) and value >= 0.0 for value in values)
    assert reading.dropped_lines >= 0


def assert_increases_plausible(before: EngineReading | None, after: EngineReading) -> None:
    """No increase between two readings is negative or above the later page's total."""
    for series, grown in counter_increases(before, after):
        assert 0.0 <= grown <= after.counters[series]
    for key, histogram in histogram_increases(before, after):
        assert all(low <= high for low, high in pairwise((0.0, *histogram.counts, histogram.count)))
        assert histogram.count <= after.histograms[key].count


def cut_lines(text: str, at: random.Random) -> str:
    lines = text.split("\n")
    return "\n".join(line[: at.randrange(len(line) + 1)] if at.random() < 0.02 else line for line in lines)


def swap_values(text: str, at: random.Random) -> str:
    lines = text.split("\n")
    return "\n".join(
        f"{line.rpartition(' ')[0]} {at.choice(BAD_VALUES)}" if at.random() < 0.02 and line else line for line in lines
    )


def scatter(text: str, at: random.Random) -> str:
    letters = list(text)
    for _ in range(40):
        letters[at.randrange(len(letters))] = at.choice(ALPHABET)
    return "".join(letters)


def shuffle(text: str, at: random.Random) -> str:
    lines = text.split("\n")
    at.shuffle(lines)
    return "\n".join([*lines, *at.sample(lines, k=len(lines) // 10)])


def shorten(text: str, at: random.Random) -> str:
    return text[: at.randrange(len(text))]


MUTATIONS = (cut_lines, swap_values, scatter, shuffle, shorten)


@pytest.mark.parametrize("page", TEXTS, ids=IDS)
def test_mutated_captures(page: Path) -> None:
    """A captured page damaged in one of five ways is read and never counts backwards."""
    at = random.Random(1)
    text, engine = TEXTS[page], engine_of(page)
    before = reading_of(engine, text)
    for round_ in range(ROUNDS):
        damaged = MUTATIONS[round_ % len(MUTATIONS)](text, at)
        detect_engine(PROFILES, seen(damaged))
        after = reading_of(engine, damaged, previous=before)
        assert_valid(after)
        assert_increases_plausible(before, after)
        assert_increases_plausible(None, after)
        before = after
    recovered = reading_of(engine, text, previous=before)
    assert_valid(recovered)
    assert_increases_plausible(before, recovered)
    assert recovered.dropped_lines == reading_of(engine, text).dropped_lines


@pytest.mark.parametrize("page", TEXTS, ids=IDS)
def test_invalid_values_count_nothing(page: Path) -> None:
    """A good page, pages with invalid values, and the good page again give no growth."""
    at, text, engine = random.Random(2), TEXTS[page], engine_of(page)
    good = before = reading_of(engine, text)
    for _ in range(ROUNDS):
        after = reading_of(engine, swap_values(text, at), previous=before)
        assert not any(grown for _, grown in counter_increases(before, after))
        assert not any(histogram.count for _, histogram in histogram_increases(before, after))
        before = after
    assert reading_of(engine, text, previous=before) == good


def _cuts(text: str, at: random.Random) -> list[str]:
    """The page truncated at the end of some lines and in the middle of others."""
    lines = text.splitlines(keepends=True)
    return ["".join(lines[: at.randrange(len(lines))]) for _ in range(ROUNDS)] + [
        text[: at.randrange(len(text))] for _ in range(ROUNDS)
    ]


def _has_counted(reading: EngineReading) -> bool:
    return any(reading.counters.values()) or any(histogram.count for histogram in reading.histograms.values())


@pytest.mark.parametrize("page", TEXTS, ids=IDS)
def test_a_truncated_page_counts_nothing_twice(page: Path) -> None:
    """Series missing from a truncated page continue when they return and are not counted again."""
    text, engine = TEXTS[page], engine_of(page)
    good = reading_of(engine, text)
    for cut in _cuts(text, random.Random(3)):
        broken = reading_of(engine, cut, previous=good)
        if cut[-1:] in ("", "\n") and not _has_counted(broken):
            continue  # nothing shows the cut, and nothing has counted yet: a restart looks like this
        back = reading_of(engine, text, previous=broken)
        assert not any(grown for _, grown in counter_increases(good, broken))
        assert not any(grown for _, grown in counter_increases(broken, back))
        assert not any(histogram.count for _, histogram in histogram_increases(good, broken))
        assert not any(histogram.count for _, histogram in histogram_increases(broken, back))


@pytest.mark.parametrize("engine", sorted(PROFILES))
@pytest.mark.parametrize("bad", BAD_VALUES)
def test_dropped_lines_are_counted(engine: str, bad: str) -> None:
    """Each requested line with an invalid value is one dropped line, whatever the engine."""
    names = sorted(PROFILES[engine].all_sample_names())
    text = "".join(f'{name}{{le="1"}} {bad}\n' for name in names)
    reading = reading_of(engine, text)
    assert reading.dropped_lines == len(names)
    assert not reading.counters
    assert not reading.gauges
    assert not reading.histograms


@given(st.text(ALPHABET, max_size=300))
@settings(max_examples=150, deadline=None)
def test_noise(text: str) -> None:
    """Arbitrary text is detected as some engine or none and read as every engine without an exception."""
    detect_engine(PROFILES, seen(text))
    for engine in PROFILES:
        assert_valid(reading_of(engine, text))


@st.composite
def samples(draw: st.DrawFn) -> tuple[str, str]:
    """An engine and a page of its metric names with odd labels and values, some repeated."""
    engine = draw(st.sampled_from(sorted(PROFILES)))
    profile = PROFILES[engine]
    labels = ("le", "quantile", *profile.labels.model, *profile.labels.replica, *profile.labels.rank)
    values = st.one_of(
        st.integers(0, 9).map(str), st.floats(0, 2 * MAX_EXACT_COUNT).map(repr), st.sampled_from([*BAD_VALUES, "abc"])
    )
    pairs = st.dictionaries(st.sampled_from(labels), st.sampled_from(["0", "1", "+Inf", "a", "", "-1"]), max_size=3)
    line = st.tuples(st.sampled_from(sorted(profile.all_sample_names())), pairs, values)
    drawn = draw(st.lists(line, max_size=25))
    return engine, "".join(_line(name, labelled, value) for name, labelled, value in drawn)


def _line(name: str, labels: dict[str, str], value: str) -> str:
    inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value}\n"


@given(samples(), samples())
@settings(max_examples=300, deadline=None)
def test_any_two_pages_of_an_engine(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Between any two pages, of one or two engines, no increase is negative or above the later page's total."""
    before = reading_of(first[0], first[1])
    after = reading_of(second[0], second[1], previous=before)
    assert_valid(before)
    assert_valid(after)
    assert_increases_plausible(before, after)
