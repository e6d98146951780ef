"""The benches' arithmetic; the measurements themselves are not tested here."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.__main__ import NAMES, bench, main
from tests.bench.page_server import COUNTS, PAGE, Captured
from tests.bench.rows import Row, as_lines, as_table, percentile


def test_a_row_compares_with_its_target():
    """Below the target is ok, at or above it is missed, and a row without a target is only reported."""
    assert [Row("x", value, "s", 2.0).ok for value in (1.9, 2.0, 2.1)] == [True, False, False]
    assert Row("x", 9.0, "s").ok is None


def test_lines_and_table_agree():
    """Each row is one JSON object and one table line, with MISSED where it is."""
    rows = [Row("start", 2.5, "s", 2.0), Row("size", 6.0, "KB")]
    lines = [json.loads(line) for line in as_lines("whole", rows).splitlines()]
    assert lines[0] == {"bench": "whole", "name": "start", "value": 2.5, "unit": "s", "target": 2.0, "ok": False}
    assert lines[1]["ok"] is None
    head, first, second = as_table("whole", rows).splitlines()
    assert head == "whole:"
    assert "MISSED" in first and "target" not in second


@pytest.mark.parametrize(("share", "expected"), [(0.5, 150), (0.99, 297), (1.0, 300), (0.0, 1)])
def test_a_percentile_is_a_measured_value(share, expected):
    """The smallest value that this share does not exceed."""
    assert percentile(range(300, 0, -1), share) == expected


def test_every_bench_can_be_selected():
    """The names are those of the modules, and each module has rows."""
    modules = {path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")}
    assert modules == set(NAMES)
    assert all(callable(bench(name)) for name in NAMES)


def test_an_unknown_bench_lists_the_known_ones(monkeypatch, capsys):
    """A wrong name exits with 2 and one line with the valid names."""
    monkeypatch.setattr(sys, "argv", ["bench", "wholly"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no bench is called wholly; there are: whole, start, gpu" in capsys.readouterr().err


def test_the_served_page_grows_and_stays_valid():
    """Between scrapes no counter decreases, buckets stay cumulative, and the rest is as captured."""
    page = Captured(PAGE.read_text())
    seen = [page.next().splitlines() for _ in range(2)]
    assert len(seen[0]) == len(PAGE.read_text().splitlines())
    grew = 0
    for before, after, captured in zip(*seen, PAGE.read_text().splitlines(), strict=True):
        name = captured.split("{")[0].split(" ")[0]
        if captured.startswith("#") or not name.endswith(COUNTS):
            assert before == after == captured
        else:
            grew += value(before) < value(after)
            assert value(captured) <= value(before) <= value(after)
    assert grew > 100
    for lines in seen:
        buckets = [line for line in lines if "_bucket{" in line]
        for line, following in pairwise(buckets):
            assert 'le="+Inf"' in line or value(line) <= value(following)


def value(line):
    return float(line.rpartition(" ")[2])
